"""What a command that writes model files says of them, before or after."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lepton_cli.engine.files.writing import Output, check_outputs, write_outputs
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.reports.numbers import columns, size
from lepton_cli.ui.reports.progress import ByteProgress
from lepton_cli.ui.terminal.output import emit, emit_json

SCHEMA = "lepton.written.v1"


def write_and_tell(
    outputs: Sequence[Output], source: Path, *, dry_run: bool = False, json: bool = False
) -> None:
    """Writes the files with progress on stderr, and lists them. Raises LeptonError."""
    if dry_run:
        check_outputs(outputs)
    else:
        with ByteProgress(f"writing {outputs[0].path.name}") as progress:
            write_outputs(outputs, progress)
    if json:
        files: list[Plain] = [
            {
                "path": str(output.path),
                "bytes": output.header.file_bytes,
                "tensors": len(output.header.tensors),
            }
            for output in outputs
        ]
        done: dict[str, Plain] = {"source": str(source), "written": not dry_run, "files": files}
        emit_json(sys.stdout, {"schema": SCHEMA, **done})
    else:
        emit(sys.stdout, columns([_row(output) for output in outputs], right=(1, 2)))


def _row(output: Output) -> tuple[str, str, str]:
    tensors = counted(len(output.header.tensors), "tensor")
    return str(output.path), tensors, size(output.header.file_bytes)
