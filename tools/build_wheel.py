"""Build a wheel that carries the kernels' object code, so that even the first run compiles nothing.

    pip install -e .[dev]
    python tools/build_wheel.py --out dist

For x86-64 Linux: every kernel for every rung of instructions, compiled by a process each from the
same sources that a run would compile. This machine need not be able to run them. The objects call
nothing but C's memory and mathematical functions, by name, so the wheel serves any glibc.
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
from collections.abc import Sequence
from pathlib import Path

from hatchling.build import build_wheel

from ops.cpu.compiling import all_kernels, compiled
from ops.cpu.rungs import X86, Rung
from ops.cpu.shelves import HERE, packaged_shelf

ROOT = Path(__file__).parents[1]
TAG, PLAIN_TAG = "py3-none-manylinux_2_17_x86_64", "py3-none-any"

Files = dict[str, bytes]


def main() -> None:
    options = _options()
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        sys.exit("build_wheel: the objects are for x86-64 Linux and are made there")
    names = options.kernel or all_kernels()
    files: Files = {}
    for rung in X86:
        if rung.name in options.rung:
            files |= _objects(rung, names)
    wheel = _with_files(_plain_wheel(), files)
    path = options.out / wheel.name
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(files)} objects")


def _options() -> argparse.Namespace:
    rungs = [rung.name for rung in X86]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder for the wheel")
    parser.add_argument("--rung", action="append", choices=rungs, help="only this (repeatable)")
    parser.add_argument("--kernel", action="append", help="only this one (repeatable)")
    return parser.parse_args()
