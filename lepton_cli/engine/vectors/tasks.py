"""Rows to embed: the text of each, and a key that identifies its result."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from lepton_cli.engine.embedding.pooling import UNIT, VectorForm
from lepton_cli.engine.jobs.asking import read_text
from lepton_cli.engine.jobs.columns import ColumnText, check_columns, text_column
from lepton_cli.engine.jobs.openai.requests import is_request
from lepton_cli.engine.jobs.planning import DIGITS, Fingerprint, digest_of
from lepton_cli.engine.jobs.rows import TEXT, Row, id_of
from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.vectors.requests import EmbeddingRequest, Encoding, Input, read_request
from quant.errors import LeptonError, UsageError

TEXTS = (TEXT, "input", "prompt", "content")  # columns that are the text if there is no template
EXAMPLE = "{title}: {body}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all texts share: how each is made of its row, and how the model is run."""

    text: ColumnText | None = None
    prefix: str = ""
    pooling: str = ""
    form: VectorForm = UNIT
    truncate: bool = False
    setting: tuple[str, ...] = ()
    arithmetic: str = ""  # see Model.arithmetic

    def fingerprint(self, identity: str) -> Fingerprint:
        parts: Plain = None if self.text is None else list(self.text.parts)
        wording = digest_of([parts, self.prefix])[:DIGITS]
        form = self.form
        settings: list[Plain] = [self.pooling, form.normalize, self.truncate, *self.setting]
        if form.dimensions is not None:  # results without it stay valid
            settings.append(f"dimensions {form.dimensions}")
        return Fingerprint(
            identity[:DIGITS], wording, digest_of(settings)[:DIGITS], self.arithmetic
        )

    def is_request(self, row: Row) -> bool:
        """Whether the row is an OpenAI request; with -p it is an ordinary row."""
        return self.text is None and is_request(row.columns)

    def text_of(self, row: Row) -> str:
        """The row's text with its prefix. Raises UsageError for a row without one."""
        if row.error is not None:
            raise row.error
        columns = row.columns
        if self.text is not None:
            return self.prefix + read_text("the text", self.text.fill(columns))
        name = text_column(columns, TEXTS)
        if name is None:
            hint = f"name one text, or use -p, like -p {EXAMPLE!r}"
            raise UsageError(f"no column is the text; the columns are: {', '.join(columns)}", hint)
        return self.prefix + read_text(name, columns[name])

    def prefixed(self, given: Input) -> Input:
        """An input of a request with the prefix. Raises UsageError for ids, which take none."""
        if isinstance(given, str):
            return self.prefix + given
        if self.prefix:
            cure = "give texts, or leave out the prefix"
            raise UsageError("token ids are given, but a prefix stands before texts", cure)
        return given

    def form_of(self, request: EmbeddingRequest) -> VectorForm:
        """With the request's own number of dimensions, if it names one."""
        if request.dimensions is None:
            return self.form
        return replace(self.form, dimensions=request.dimensions)

    def named_text_of(self, row: Row) -> str:
        """The text of a row that cannot be left out. Raises UsageError, which names the row."""
        try:
            return self.text_of(row)
        except LeptonError as error:
            raise UsageError(f"row {row.number}: {error.message}", error.hint) from error

    def check(self, rows: Iterable[Row]) -> None:
        """Raises UsageError for a template without columns, or with one that no row has."""
        check_columns(self.text, [], (row.columns for row in rows), EXAMPLE)


@dataclass(frozen=True, slots=True)
class Task:
    """What of a row is embedded: one text, or inputs of an OpenAI request, which has `encoding`.

    `error` is set if the row has none.
    """

    row: int
    key: str
    id: Plain
    texts: tuple[Input, ...]
    form: VectorForm
    error: LeptonError | None = None
    encoding: Encoding | None = None


def plan_texts(rows: Iterable[Row], recipe: Recipe, fingerprint: Fingerprint) -> list[Task]:
    """A task for each row; of equal rows each has its own key."""
    seen = Counter[str]()
    return [_task(row, recipe, str(fingerprint), seen) for row in rows]


def _task(row: Row, recipe: Recipe, fingerprint: str, seen: Counter[str]) -> Task:
    is_request = recipe.is_request(row)
    name = id_of(row.columns, is_request=is_request)
    texts, form, error = tuple[Input, ...](), recipe.form, None
    encoding: Encoding | None = "float" if is_request else None
    try:
        if is_request:
            request = read_request(row.columns)
            encoding, form = request.encoding, recipe.form_of(request)
            texts = tuple(map(recipe.prefixed, request.inputs))
            own: list[Plain] = [] if form == recipe.form else [form.dimensions]
            content = digest_of([name, plain(texts), encoding, *own])
        else:
            texts = (recipe.text_of(row),)
            content = digest_of([name, *texts])
    except LeptonError as wrong:
        error = wrong
        content = digest_of([row.source, row.columns])
    key = digest_of([fingerprint, content, seen[content]])[:32]
    seen[content] += 1
    return Task(row.number, key, name, texts, form, error, encoding)
