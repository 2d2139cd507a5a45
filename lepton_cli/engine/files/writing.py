"""Writes GGUF files that are complete or not there at all; asks for the room before."""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lepton_cli.engine.files.pieces import Progress, no_progress
from lepton_cli.engine.library.outputs import check_room, whole_file
from ops.files.own_files import named_file
from quant.errors import UsageError
from quant.gguf import GGUF, Tensor
from quant.gguf_writer import Header, Piece, TensorInfo, copied_pairs, write

SPLIT = "split."  # what the keys of a shard begin with
MADE = (".gguf", ".dat")  # files of others, as a text, are not offered to be replaced
COPIED = 1 << 26  # bytes that are copied at a time


@dataclass(frozen=True, slots=True)
class Output:
    """A file to be written. `data` gives a tensor's bytes, in as many pieces as it likes."""

    path: Path
    header: Header
    data: Callable[[TensorInfo], Iterable[Piece]]


def info_of(tensor: Tensor) -> TensorInfo:
    return TensorInfo(tensor.name, tensor.format, tensor.shape)


def own_keys(file: GGUF) -> dict[str, bytes]:
    """All keys as stored, but those of a split file."""
    pairs = copied_pairs(file.metadata)
    return {key: value for key, value in pairs.items() if not key.startswith(SPLIT)}


def copied(tensor: Tensor) -> Iterator[Piece]:
    """The tensor's bytes as they are."""
    flat = memoryview(tensor.data.reshape(-1).data)
    for start in range(0, len(flat), COPIED):
        yield flat[start : start + COPIED]


def check_outputs(
    outputs: Sequence[Output], sources: Sequence[Path], *, overwrite: bool = False
) -> None:
    """Raises UsageError for a file that may not or cannot be made, LeptonError for lack of room.

    A file that exists may only be replaced with `overwrite`, a source never.
    """
    check_names([output.path for output in outputs], sources, overwrite=overwrite)
    for folder in {output.path.parent for output in outputs}:
        needed = sum(out.header.file_bytes for out in outputs if out.path.parent == folder)
        check_room(folder, needed, "written", "free some of it, or write to another disk")


def check_names(paths: Sequence[Path], sources: Sequence[Path], *, overwrite: bool) -> None:
    """Raises UsageError for a file that may not be made."""
    for path in paths:
        if str(path) == "-":
            raise UsageError("a model is not written to stdout", "name a file in place of -")
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "name a file in it")
        exists = named_file(path).exists()
        if exists and any(source.samefile(path) for source in sources):
            raise UsageError(f"{path} is what is read", "name another file to write")
        if exists and not overwrite:
            hint = "use --overwrite to replace it, or name another file"
            other = f"name another file, like {shlex.quote(str(path.with_suffix('.gguf')))}"
            raise UsageError(f"{path} exists", hint if path.suffix in MADE else other)
        if not path.parent.is_dir():
            hint = f"make it: mkdir -p {shlex.quote(str(path.parent))}"
            raise UsageError(f"the folder {path.parent} does not exist", hint)


def write_outputs(outputs: Sequence[Output], progress: Progress = no_progress) -> None:
    """Writes all files; the first gets its name last, so that it never lacks the others.

    Raises LeptonError if writing fails: no file is there then.
    """
    whole, done = sum(output.header.file_bytes for output in outputs), 0

    def counted(output: Output, info: TensorInfo) -> Iterator[Piece]:
        nonlocal done
        for piece in output.data(info):
            yield piece
            done += len(piece)
            progress(done, whole)

    with ExitStack() as drafts:  # they get their names in reverse order
        for output in outputs:
            file = drafts.enter_context(whole_file(output.path))
            write(file, output.header, partial(counted, output))
            file.flush()
            os.fsync(file.fileno())  # a disk that is full says so before any file has its name
