"""`lepton verify`: whether a model file is whole, as text or JSON."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from lepton_cli.engine.files.checking import Fault, Verified, verify
from lepton_cli.engine.files.manifest import SCHEMA as MANIFEST
from lepton_cli.engine.files.manifest import read_manifest, write_manifest
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.known_hashes import known_hashes
from lepton_cli.engine.library.outputs import check_named
from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.reports.numbers import size
from lepton_cli.ui.reports.progress import ByteProgress
from lepton_cli.ui.terminal.output import emit, emit_json
from quant.errors import ModelFileError

SCHEMA = "lepton.verify.v1"
MOST_FAULTS = 20  # that are listed as text
AGAIN = "get the file again; `lepton models` shows the command for a known model"


def check(name: str, manifest: Path | None, made: Path | None, *, json: bool) -> None:
    """Raises ModelFileError for a file with faults, after they were printed."""
    path = resolve(name)
    wanted = read_manifest(manifest) if manifest else None
    if made:
        check_named(made, mark=MANIFEST.encode())
    with ByteProgress(f"checking {path.name}") as progress:
        found = verify(path, known_hashes(path), wanted, hashes=made is not None, progress=progress)
    if json:
        emit_json(sys.stdout, _plain(path, found))
    else:
        emit(sys.stdout, "".join(f"{line}\n" for line in _lines(path, found)))
    if found.faults:
        first = _said(found.faults[0], path)
        many = "" if len(found.faults) == 1 else f", the first of {len(found.faults)} faults"
        raise ModelFileError(f"{path}: {first}{many}", found.faults[0].cure or AGAIN)
    if made and found.manifest:
        write_manifest(made, found.manifest)


def _lines(path: Path, found: Verified) -> Iterator[str]:
    for file in found.files:
        yield f"{file.path}: {size(file.bytes)}"
        known = f" as {file.source} says" if file.expected == file.sha256 else ""
        yield f"  sha256 {file.sha256}{known}"
    for fault in found.faults[:MOST_FAULTS]:
        yield f"  fault: {_said(fault, path)}"
    if len(found.faults) > MOST_FAULTS:
        yield f"  and {len(found.faults) - MOST_FAULTS} more; --json lists all"
    if not found.faults:
        yield f"  {counted(found.tensors, 'tensor')}: structure and values are sound"


def _said(fault: Fault, path: Path) -> str:
    where = "" if fault.path == str(path) else f"{fault.path}: "
    tensor = f"{fault.tensor}: " if fault.tensor else ""
    place = "" if fault.position is None else f" (byte {fault.position} of the file)"
    return f"{where}{tensor}{fault.what}{place}"


def _plain(path: Path, found: Verified) -> dict[str, Plain]:
    return {
        "schema": SCHEMA,
        "path": str(path),
        "sound": not found.faults,
        "tensors": found.tensors,
        "files": [asdict(file) for file in found.files],
        "faults": [asdict(fault) for fault in found.faults],
    }
