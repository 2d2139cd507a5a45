"""Kernels as object code: from the package, from the cache folder, or else compiled once.

llvmlite loads each in less than a millisecond, without Numba.
"""

import ctypes
import os
import re
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from ops.compiled.kernel_folder import Compiling, tidy, unpack
from ops.cpu.kernel_folders import cached_kernels, packaged_kernels
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung
from ops.machine import default_threads
from quant.errors import LeptonError

STORES_OBJECTS = sys.platform == "linux"  # undefined symbols are read from ELF only
LIBM = "libm.so.6"  # glibc's; on other systems its functions are in libc or linked to Python
SHAPES = "shapes"  # the note of which shape is faster
GAIN = 1.05  # of the second shape, for which it is taken
COLD_PATHS = ("numba_", "NRT_", "Py", "_Py")  # called on a kernel's error paths only


class ObjectStore:
    """Addresses of kernels by name."""

    def __init__(self, folder: Path, on_compile: Callable[[Compiling], None]) -> None:
        """`folder` is for compiled kernels. Raises UsageError for a wrong LEPTON_CPU."""
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.rung = choose_rung(host_features(), os.environ)
        self._cache = cached_kernels(folder, self.rung)
        self._folders = [packaged_kernels(self.rung), self._cache]
        tidy(self._cache.folder, time.time())
        self._on_compile = on_compile
        self._owners: list[Any] = []  # own the memory of the loaded code
        self._addresses: dict[str, int] = {}
        self._defined: set[str] = set()  # symbols outside the kernels; many share them

    @cached_property
    def ratios(self) -> dict[str, float]:
        """Formats whose kernels' two shapes were measured on this machine, and how many times as
        fast the second one is."""
        lines = re.findall(r"^(\w+) (\d+\.\d+)$", self._cache.read_note(SHAPES), re.MULTILINE)
        return {kind: float(ratio) for kind, ratio in lines}

    @property
    def unpacked(self) -> frozenset[str]:
        """Formats whose kernels have the second shape here."""
        return frozenset(kind for kind, ratio in self.ratios.items() if ratio > GAIN)

    def note_ratios(self, ratios: Mapping[str, float]) -> LeptonError | None:
        """Adds measurements; returns why they could not be stored, if so."""
        self.ratios.update(ratios)
        lines = [f"{kind} {ratio:.3f}\n" for kind, ratio in self.ratios.items()]
        return self._cache.write_note(SHAPES, "".join(lines))

    def stored(self) -> set[str]:
        """The names of the kernels in all folders."""
        return {name for folder in self._folders for name in folder.sizes()}

    def prepare(self, names: Iterable[str]) -> None:
        """Loads kernels; compiles those that are stored nowhere yet, several at once."""
        missing = [name for name in dict.fromkeys(names) if not self._find(name)]
        if missing:
            ignored = next(filter(None, (folder.ignored for folder in self._folders)), None)
            self._on_compile(Compiling(0, len(missing), lost=self.lost(), ignored=ignored))
            compile_them = self._compile if STORES_OBJECTS else self._compile_in_place
            for done, (name, lost) in enumerate(compile_them(missing), start=1):
                self._on_compile(Compiling(done, len(missing), name, lost))

    def lost(self) -> LeptonError | None:
        """Why kernels that are compiled now could not be stored, if so."""
        return self._cache.probe() if STORES_OBJECTS else _no_objects()

    def address(self, name: str) -> int:
        if name not in self._addresses:
            self.prepare([name])
        return self._addresses[name]

    def _find(self, name: str) -> bool:
        if name not in self._addresses:
            kernel = next(filter(None, (folder.read(name) for folder in self._folders)), None)
            if kernel:
                self._load(name, *kernel)
        return name in self._addresses

    def _compile(self, names: Sequence[str]) -> Iterator[tuple[str, LeptonError | None]]:
        """Each kernel's name, and why it could not be stored, if so."""
        from ops.cpu.compiling import compile_kernels  # imports subprocess: only where needed

        for name, packed in compile_kernels(names, self.rung, default_threads().count):
            lost = self._cache.write(name, packed)
            self._load(name, *unpack(packed))
            yield name, lost

    def _compile_in_place(self, names: Sequence[str]) -> Iterator[tuple[str, LeptonError | None]]:
        from ops.cpu.compiling import aim

        aim(self.rung)
        from ops.cpu.kernels import ARGUMENTS, kernel  # imports Numba: only where needed
        from ops.cpu.kernels.simd.compiler import c_function

        for name in names:
            function = c_function(kernel(name), ARGUMENTS.get(name, 4))
            self._owners.append(function)
            self._addresses[name] = int(function.address)
            yield name, _no_objects()

    def _load(self, name: str, data: bytes, entry: str) -> None:
        """Defines all undefined symbols first: if one is missing, MCJIT leaves every one null."""
        for symbol in set(undefined_symbols(data)) - self._defined:
            llvm.add_symbol(symbol, symbol_address(name, symbol))
            self._defined.add(symbol)
        machine = llvm.Target.from_default_triple().create_target_machine()
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        engine.finalize_object()
        self._owners.append(engine)
        self._addresses[name] = int(engine.get_function_address(entry))


def _no_objects() -> LeptonError:
    message = f"kernels cannot be stored on {sys.platform} yet"
    return LeptonError(message, "each start compiles those that it needs")


def symbol_address(kernel: str, symbol: str) -> int:
    """A function of this process or of libm; for error paths, `abort`."""
    process = ctypes.CDLL(None)
    function = getattr(process, symbol, None)
    if function is None and not symbol.startswith(COLD_PATHS):
        function = getattr(ctypes.CDLL(LIBM), symbol, None)
        assert function is not None, (
            f"the kernel {kernel} calls {symbol}, which neither libc nor libm has: "
            "LLVM calls a library where the rung lacks an instruction"
        )
    address = ctypes.cast(function or process.abort, ctypes.c_void_p).value
    assert address is not None
    return address


def undefined_symbols(elf: bytes) -> Iterator[str]:
    """Names that a 64-bit little-endian ELF object expects from outside (.symtab, section 0)."""
    sections_offset = struct.unpack_from("<Q", elf, 40)[0]
    size, count, _ = struct.unpack_from("<HHH", elf, 58)
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", elf, sections_offset + n * size) for n in range(count)
    ]
    for _, kind, _, _, start, length, link, _, _, _ in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = sections[link][4]
        for offset in range(start, start + length, 24):
            name, _, _, section, _, _ = struct.unpack_from("<IBBHQQ", elf, offset)
            if section == 0 and name:
                yield elf[names + name : elf.index(b"\0", names + name)].decode()
