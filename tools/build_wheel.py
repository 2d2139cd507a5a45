"""Build a wheel that carries the kernels' object code, so that even the first run compiles nothing.

    pip install -e .[dev]
    python tools/build_wheel.py --out dist

For x86-64 Linux: every kernel for every rung of instructions, compiled in processes of their own
from the sources that a run would compile; this machine need not be able to run them. The objects
call C's memory and mathematical functions by name and nothing else, so they serve any glibc.
"""

import argparse
import base64
import hashlib
import os
import platform
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from hatchling.build import build_wheel

from ops.cpu.compiling import all_kernels, compile_kernels
from ops.cpu.instruction_sets.rung import Rung
from ops.cpu.kernel_folders import packaged_kernels
from ops.cpu.rungs import X86
from ops.files.whole_files import replace_file

ROOT = Path(__file__).parents[1]
ANYWHERE, HERE = "py3-none-any", "py3-none-manylinux_2_17_x86_64"

Files = dict[str, bytes]


def main() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        sys.exit("build_wheel: the objects are for x86-64 Linux and are made there")
    options = _options()
    names = options.kernel or all_kernels()
    objects: Files = {}
    for rung in options.rung or X86:
        objects |= _objects(rung, names)
    with tempfile.TemporaryDirectory() as folder:
        plain = _plain_wheel(Path(folder))
        path = options.out / plain.name.replace(ANYWHERE, HERE)
        options.out.mkdir(parents=True, exist_ok=True)
        _write(path, _with_objects(_members(plain), objects))
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(objects)} objects")


def _options() -> argparse.Namespace:
    rungs = {rung.name: rung for rung in X86}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("dist"), help="the wheel's folder")
    parser.add_argument("--rung", action="append", choices=rungs, help="only this (repeatable)")
    parser.add_argument("--kernel", action="append", help="only this (repeatable)")
    options = parser.parse_args()
    options.rung = [rungs[name] for name in options.rung or rungs]
    return options


def _objects(rung: Rung, names: list[str]) -> Files:
    """The wheel's members for a rung."""
    begin, kernels = time.perf_counter(), packaged_kernels(rung)
    folder = kernels.folder.relative_to(ROOT)
    compiled = compile_kernels(names, rung, len(os.sched_getaffinity(0)))
    objects = {
        f"{folder}/{name}.kernel": kernels.with_checksum(name, packed) for name, packed in compiled
    }
    print(f"{rung.name}: {len(objects)} kernels in {time.perf_counter() - begin:.0f} s", flush=True)
    return objects


def _plain_wheel(folder: Path) -> Path:
    before = Path.cwd()
    os.chdir(ROOT)  # where the build system looks for the project
    try:
        return folder / build_wheel(str(folder))
    finally:
        os.chdir(before)


def _members(wheel: Path) -> Files:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _with_objects(members: Files, objects: Files) -> Files:
    """The wheel's metadata tell its tags and, last, every member's hash and size (PEP 427)."""
    [record] = [name for name in members if name.endswith(".dist-info/RECORD")]
    tags = record.replace("RECORD", "WHEEL")
    for old, new in ((ANYWHERE, HERE), ("Root-Is-Purelib: true", "Root-Is-Purelib: false")):
        assert old.encode() in members[tags]
        members[tags] = members[tags].replace(old.encode(), new.encode())
    del members[record]
    whole = objects | members
    lines = [f"{name},{_hashed(data)},{len(data)}" for name, data in whole.items()]
    return whole | {record: "\n".join([*lines, f"{record},,", ""]).encode()}


def _hashed(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + digest.rstrip(b"=").decode()


def _write(path: Path, members: Files) -> None:
    """The same members give the same bytes: the archive has no times."""
    with replace_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o644 << 16
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
