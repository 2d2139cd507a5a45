"""What may guess for a model: earlier text, its own head, smaller models, itself without layers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lepton_cli.engine.files.trial import CONTEXT
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.library.stores import list_models, models_in
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.plan import LoadOptions, SpecType
from lepton_cli.engine.loss.trials import Open
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.pruning.edits import Edit, Edited
from lepton_cli.engine.pruning.ranking import block_influence, by_influence
from lepton_cli.engine.pruning.writing import check_left
from quant.errors import LeptonError, UsageError
from quant.gguf import GGUF

TOKENS = "tokenizer.ggml.tokens"
SHARES = (0.25, 0.5)  # of a model's layers, that it is tried without


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source of guesses. `path`: of a draft model; `without`: layers that it is opened without.

    `without` is of the model itself, which is no file yet.
    """

    name: str
    kind: SpecType
    path: Path | None = None
    without: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Skipped:
    """What cannot be tried, and why."""

    name: str
    reason: str


LOOKUP = Candidate("ngram-simple", "ngram-simple")
HEAD = Candidate("draft-mtp", "draft-mtp")


def check_takes_drafts(model: GGUF) -> None:
    """Raises UsageError for a model that does not answer token by token, LeptonError."""
    if not loading.build(model, CONTEXT).predicts_next:
        message = f"{model.path} neither drafts nor takes drafts: it is no plain decoder"
        raise UsageError(message, "use a model that answers token by token, from the left")


def model_candidate(name: str, path: Path, model: GGUF) -> Candidate:
    """A draft model that was asked for. Raises UsageError for another vocabulary, LeptonError."""
    if path.samefile(model.path):
        raise UsageError(f"{name} is the model itself", "name a smaller one of its family")
    if not _same_tokens(GGUF.open(path), model):
        message = f"{path} has a different vocabulary than {model.path}"
        raise UsageError(message, "a draft model must be of the same family")
    return Candidate(name, "draft-simple", path)


def found_candidates(model: GGUF) -> list[Candidate]:
    """The smaller models of the same vocabulary in the caches and beside the model, by size."""
    listed = (*models_in(model.path.parent), *list_models())
    entries = {each.path.resolve(): each for each in listed}
    fitting = [
        (file.file_bytes, Candidate(entry.name, "draft-simple", entry.path))
        for entry in entries.values()
        if (file := _smaller(entry.path, model)) is not None
    ]
    return [candidate for _, candidate in sorted(fitting, key=lambda pair: pair[0])]


def _smaller(path: Path, model: GGUF) -> GGUF | None:
    """The file, if it is a smaller model with the same tokens."""
    try:
        file = GGUF.open(path)
    except (LeptonError, OSError):  # damaged, unfinished, or not readable: no candidate
        return None
    smaller = file.tensors and file.file_bytes < model.file_bytes
    return file if smaller and _same_tokens(file, model) else None


def _same_tokens(file: GGUF, model: GGUF) -> bool:
    """As far as the files say; a model that is opened is asked for its tokenizer's texts."""
    keys, others = file.metadata, model.metadata
    return TOKENS in keys and TOKENS in others and keys.stored(TOKENS) == others.stored(TOKENS)


def pruned_candidates(
    model: GGUF, windows: Iterable[Sequence[int]], start: Open
) -> Iterator[Candidate | Skipped]:
    """The model without its least influential layers, by what they do on a text."""
    program = loading.build(model, CONTEXT)
    if program.entangled_layer is not None:
        reason = f"layer {program.entangled_layer} reads what layers before it keep"
        yield Skipped("pruned", reason)
        return
    counts = dict.fromkeys(round(share * program.layers) for share in SHARES)
    order = [*by_influence(block_influence(program, windows, start), ())]
    for count in counts:
        if 0 < count < program.layers:
            without = frozenset(order[:count])
            name = f"without {counted(count, 'layer')}"
            try:
                check_left(Edited(model, program, Edit(without)))
            except UsageError as error:  # what is left would be no model that can be written
                yield Skipped(name, error.message)
            else:
                yield Candidate(name, "draft-simple", model.path, without)


def use(model: Model, candidate: Candidate, options: LoadOptions) -> None:
    """Lets a candidate guess for the model, and nothing else. `options`: to open a draft model.

    Raises UsageError, OutOfMemoryError with the sizes, LeptonError.
    """
    model.guess_with(None)
    if candidate.kind == "draft-mtp" and model.guessers.head is None:
        message = f"{model.path} has no next-token head that can be used here"
        raise UsageError(message, "leave out draft-mtp")
    if candidate.path is not None:
        weights = 0 if candidate.without else options.weights  # it is never started again
        opened = replace(options, without=candidate.without, weights=weights)
        draft = open_model(candidate.path, opened, beside=model)
        try:
            model.guess_with(draft)
        except BaseException:
            draft.close()
            raise
    model.guessers.choose((candidate.kind,))
