"""What a command that writes model files says of them, before or after."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from lepton_cli.engine.files.writing import Output, check_outputs, write_outputs
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.arguments.options.making import WritingOptions
from lepton_cli.ui.reports.numbers import columns, size
from lepton_cli.ui.reports.progress import ByteProgress
from lepton_cli.ui.terminal.output import emit, emit_json

SCHEMA = "lepton.written.v1"
NOTHING: Mapping[str, Plain] = MappingProxyType({})


def write_and_tell(
    outputs: Sequence[Output],
    sources: Sequence[Path],
    how: WritingOptions,
    more: Mapping[str, Plain] = NOTHING,
) -> None:
    """Writes the files with progress on stderr, and lists them. Raises LeptonError.

    `more`: what JSON tells besides.
    """
    write(outputs, sources, how)
    tell(outputs, sources, how, more)


def write(outputs: Sequence[Output], sources: Sequence[Path], how: WritingOptions) -> None:
    """Raises LeptonError."""
    check_outputs(outputs, sources, overwrite=how.overwrite)
    if not how.dry_run:
        with ByteProgress(f"writing {outputs[0].path.name}") as progress:
            write_outputs(outputs, progress)


def tell(
    outputs: Sequence[Output],
    sources: Sequence[Path],
    how: WritingOptions,
    more: Mapping[str, Plain],
) -> None:
    """Lists the files. `more`: what JSON tells besides."""
    if not how.json:
        emit(sys.stdout, columns([_row(output) for output in outputs], right=(1, 2)))
        return
    files: list[Plain] = [
        {
            "path": str(output.path),
            "bytes": output.header.file_bytes,
            "tensors": len(output.header.tensors),
        }
        for output in outputs
    ]
    done: dict[str, Plain] = {
        "sources": [*map(str, sources)],
        "written": not how.dry_run,
        "files": files,
        **more,
    }
    emit_json(sys.stdout, {"schema": SCHEMA, **done})


def _row(output: Output) -> tuple[str, str, str]:
    tensors = counted(len(output.header.tensors), "tensor")
    return str(output.path), tensors, size(output.header.file_bytes)
