"""Makes prompts from rows: from their own columns, or from templates with columns in braces."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lepton_cli.engine.jobs.asking import (
    CONSTRAINTS,
    Ask,
    Shape,
    read_constraint,
    read_text,
)
from lepton_cli.engine.jobs.columns import ColumnText, check_columns, text_column
from lepton_cli.engine.jobs.openai import requests
from lepton_cli.engine.jobs.openai.messages import read_messages
from lepton_cli.engine.jobs.parameters import KNOWN
from lepton_cli.engine.jobs.rows import TEXT, Row, id_of
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.messages import Message
from quant.errors import UsageError

PROMPTS = ("prompt", TEXT)  # columns that are the prompt if there is no template
NO_PROMPTS = frozenset(["id", "system", *KNOWN, *CONSTRAINTS])  # not even if it is the only column
HOW = "name it prompt, text or messages, or use -p, like -p 'Translate: {text}'"


@dataclass(frozen=True, slots=True)
class Wording:
    """The command line's prompt options for all rows; `raw`: without a chat template.

    Results have the format of their row, or `shape`. `schema_check`: answers are also checked for
    the parts of a schema that generation cannot enforce.
    """

    prompt: ColumnText | None = None
    system: ColumnText | None = None
    raw: bool = False
    parse_special: bool = False  # in raw prompts
    shape: Shape | None = None
    schema_check: bool = False

    @property
    def columns(self) -> frozenset[str]:
        """The columns used in templates; these are not read as parameters."""
        texts = [text for text in (self.prompt, self.system) if text is not None]
        return frozenset(name for text in texts for name in text.columns)

    def check(self, rows: Iterable[Row]) -> None:
        """Raises UsageError for a column that no row has, and for a prompt without columns."""
        columns = (row.columns for row in rows)
        check_columns(self.prompt, [self.system], columns, "Translate: {text}")

    def ask(self, row: Row) -> Ask:
        """The request of a row. Raises LeptonError without a prompt, or for invalid fields."""
        if row.error is not None:
            raise row.error
        columns = row.columns
        if self._is_request(columns):
            self._check_alone("an OpenAI request")
            ask = requests.read_request(columns, schema_check=self.schema_check)
        else:
            ask = self._ask(columns)
        if self.shape == "lepton" and ask.choices > 1:
            raise UsageError(f"n is {ask.choices}, but --output-template writes one text for a row")
        default = self.system.fill(columns) if self.system and ask.messages else None
        return replace(ask.with_system(default), shape=self.shape or ask.shape)

    def failed(self, columns: Mapping[str, Plain]) -> Ask:
        """What is known of a row that cannot be read: its id, and the format of its result."""
        is_request = self._is_request(columns)
        own: Shape = requests.shape_of(columns) if is_request else "lepton"
        return Ask(id_of(columns, is_request=is_request), shape=self.shape or own)

    def parameters(self, columns: Mapping[str, Plain]) -> dict[str, Plain]:
        """The row's own parameters; empty fields of a CSV are ignored."""
        names = [name for name in columns if name in KNOWN and name not in self.columns]
        return {name: columns[name] for name in names if columns[name] not in (None, "")}

    def _ask(self, columns: Mapping[str, Plain]) -> Ask:
        name = id_of(columns, is_request=False)
        given, free = self.parameters(columns), columns.keys() - self.columns
        formed = {name: columns[name] for name in CONSTRAINTS if name in free}
        constraint = read_constraint(formed, schema_check=self.schema_check)
        system = None if "system" in self.columns else columns.get("system")
        own = read_text("system", system) if system not in (None, "") else None
        if "messages" in columns and "messages" not in self.columns:
            self._check_alone("a row with messages")
            messages = read_messages(columns["messages"])
            return Ask(name, messages, None, given, constraint).with_system(own)
        prompt = self._prompt(columns)
        if not self.raw:
            messages = (Message("user", prompt),)
            return Ask(name, messages, None, given, constraint).with_system(own)
        if own is not None:
            raise UsageError("a system prompt needs a chat template")
        return Ask(name, (), prompt, given, constraint)

    def _is_request(self, columns: Mapping[str, Plain]) -> bool:
        """Whether a row is an OpenAI request; with -p, an incomplete request is an ordinary row."""
        whole = "custom_id" in columns and "body" in columns
        return whole or (self.prompt is None and requests.is_request(columns))

    def _check_alone(self, what: str) -> None:
        if self.prompt is not None:
            raise UsageError(f"{what} has its own prompt, and -p gives another", "leave out -p")

    def _prompt(self, columns: Mapping[str, Plain]) -> str:
        if self.prompt is not None:
            return read_text("the prompt", self.prompt.fill(columns))
        name = text_column(columns, PROMPTS, NO_PROMPTS)
        if name is None:
            raise UsageError(f"no column is the prompt; the columns are: {', '.join(columns)}", HOW)
        return read_text(name, columns[name])
