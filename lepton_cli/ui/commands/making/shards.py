"""`lepton split` and `lepton merge`: a model in several files, or in one again."""

from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.files.shards import MOST_TENSORS, Largest, merged_output, split_outputs
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.ui.arguments.sizes import size_of
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
    dry_run: bool
    json: bool


def split(request: SplitRequest) -> None:
    """Raises LeptonError."""
    if request.max_size is not None and request.max_tensors is not None:
        message = "--split-max-size and --split-max-tensors are both given"
        raise UsageError(message, "give one of them")
    size = None if request.max_size is None else size_of("--split-max-size", request.max_size)
    largest = Largest(size, request.max_tensors or MOST_TENSORS, request.empty_first)
    path = resolve(request.model)
    prefix = request.prefix.with_name(request.prefix.name.removesuffix(".gguf"))
    outputs = split_outputs(GGUF.open(path), prefix, largest)
    write_and_tell(outputs, path, dry_run=request.dry_run, json=request.json)


def merge(model: str, out: Path, *, dry_run: bool, json: bool) -> None:
    """Raises LeptonError."""
    path = resolve(model)
    write_and_tell([merged_output(GGUF.open(path), out)], path, dry_run=dry_run, json=json)
