"""`lepton split` and `lepton merge`: a model in several files, or in one again."""

from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.files.shards import MOST_TENSORS, Largest, merged_output, split_outputs
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.sizes import bytes_of
from lepton_cli.ui.arguments.options.making import WritingOptions
from lepton_cli.ui.reports.written import write_and_tell
from quant.errors import UsageError
from quant.gguf import GGUF


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """The command line's request."""

    model: str
    prefix: Path
    max_size: str | None
    max_tensors: int | None
    empty_first: bool
    how: WritingOptions


def split(request: SplitRequest) -> None:
    """Raises LeptonError."""
    if request.max_size is not None and request.max_tensors is not None:
        message = "--split-max-size and --split-max-tensors are both given"
        raise UsageError(message, "give one of them")
    size = None if request.max_size is None else bytes_of(request.max_size)
    largest = Largest(size, request.max_tensors or MOST_TENSORS, request.empty_first)
    path = resolve(request.model)
    prefix = request.prefix / path.name if request.prefix.is_dir() else request.prefix
    prefix = prefix.with_name(prefix.name.removesuffix(".gguf"))
    file = GGUF.open(path)
    write_and_tell(split_outputs(file, prefix, largest), file.paths, request.how)


def merge(model: str, out: Path, how: WritingOptions) -> None:
    """Raises LeptonError."""
    file = GGUF.open(resolve(model))
    write_and_tell([merged_output(file, out)], file.paths, how)
