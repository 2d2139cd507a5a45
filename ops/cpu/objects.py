"""Kernels as object code: compiled once by Numba, stored, then loaded by llvmlite alone.

A stored object is keyed by the kernels' sources, the compiler's version and the CPU, so a new
Lepton, another machine on the same home directory, or an edited kernel never meets an old object.
"""

import contextlib
import ctypes
import ctypes.util
import hashlib
import os
import struct
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

COLD_PATHS = ("numba_", "NRT_", "Py", "_Py")  # what a kernel's error paths would call


class ObjectStore:
    """Gives the address of a kernel by its name, compiling it when it is not in the folder yet."""

    def __init__(self, folder: Path | None, on_compile: Callable[[str], None]) -> None:
        """`folder` None keeps nothing on disk. `on_compile` hears of each kernel to be compiled."""
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.folder = folder / digest() if folder else None
        self._on_compile = on_compile
        self._owners: list[Any] = []  # own the memory of the loaded code
        self._addresses: dict[str, int] = {}
        self._libraries = _libraries()

    def address(self, name: str) -> int:
        if name not in self._addresses:
            if sys.platform == "linux":
                data, entry = self._stored(name) or self._compiled(name)
                self._addresses[name] = self._load(name, data, entry)
            else:  # undefined symbols are read from ELF only
                self._addresses[name] = self._compiled_in_place(name)
        return self._addresses[name]

    def _stored(self, name: str) -> tuple[bytes, str] | None:
        if self.folder is None:
            return None
        try:
            packed = (self.folder / f"{name}.kernel").read_bytes()
        except OSError:  # not compiled yet, or an unreadable folder: compiling is the cure
            return None
        return unpack(packed)

    def _compiled(self, name: str) -> tuple[bytes, str]:
        from ops.cpu.kernels import ARGUMENTS, KERNELS  # imports numba: only when there is need
        from ops.cpu.kernels.compiler import compile_kernel

        self._on_compile(name)
        data, entry = compile_kernel(KERNELS[name], ARGUMENTS.get(name, 4))
        if self.folder is not None:
            _write_atomically(self.folder / f"{name}.kernel", pack(data, entry))
        return data, entry

    def _compiled_in_place(self, name: str) -> int:
        from ops.cpu.kernels import ARGUMENTS, KERNELS
        from ops.cpu.kernels.compiler import c_function

        self._on_compile(name)
        function = c_function(KERNELS[name], ARGUMENTS.get(name, 4))
        self._owners.append(function)
        return int(function.address)

    def _load(self, name: str, data: bytes, entry: str) -> int:
        """Every undefined symbol gets an address first: else MCJIT leaves all of them null."""
        for symbol in undefined_symbols(data):
            llvm.add_symbol(symbol, self._symbol_address(name, symbol))
        machine = llvm.Target.from_default_triple().create_target_machine()
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        engine.finalize_object()
        self._owners.append(engine)
        return int(engine.get_function_address(entry))

    def _symbol_address(self, kernel: str, symbol: str) -> int:
        for library in self._libraries:
            function = getattr(library, symbol, None)
            if function is not None:
                return _address_of(function)
        assert symbol.startswith(COLD_PATHS), f"{kernel} needs the unknown symbol {symbol}"
        return _address_of(self._libraries[0].abort)  # where unreachable error paths lead


def digest() -> str:
    """Names the folder of this Lepton's kernels on this CPU."""
    key = hashlib.sha256()
    for name in ("numba", "llvmlite"):
        key.update(version(name).encode())
    key.update(f"{sys.platform} {llvm.get_host_cpu_name()}".encode())
    key.update(llvm.get_host_cpu_features().flatten().encode())
    here = Path(__file__).parent
    for source in [here / "layout.py", *sorted((here / "kernels").glob("*.py"))]:
        key.update(source.read_bytes())
    return key.hexdigest()[:16]


def pack(data: bytes, entry: str) -> bytes:
    """Layout: sha256 of the rest (32) | u32 length of the entry's name | name | object code."""
    body = struct.pack("<I", len(entry)) + entry.encode() + data
    return hashlib.sha256(body).digest() + body


def unpack(packed: bytes) -> tuple[bytes, str] | None:
    """None for a damaged file."""
    body = packed[32:]
    if hashlib.sha256(body).digest() != packed[:32]:
        return None
    length = struct.unpack_from("<I", body)[0]
    return body[4 + length :], body[4 : 4 + length].decode()


def undefined_symbols(elf: bytes) -> Iterator[str]:
    """Names that a 64-bit little-endian ELF object expects from outside (.symtab, section 0)."""
    sections_at = struct.unpack_from("<Q", elf, 40)[0]
    size, count, _ = struct.unpack_from("<HHH", elf, 58)
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", elf, sections_at + n * size) for n in range(count)
    ]
    for _, kind, _, _, start, length, link, _, _, _ in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = sections[link][4]
        for at in range(start, start + length, 24):
            name, _, _, section, _, _ = struct.unpack_from("<IBBHQQ", elf, at)
            if section == 0 and name:
                yield elf[names + name : elf.index(b"\0", names + name)].decode()


def _libraries() -> tuple[ctypes.CDLL, ...]:
    """Where a kernel's symbols are looked up: the process itself, and the mathematical library."""
    if sys.platform != "linux":
        return ()
    libm = ctypes.util.find_library("m")
    return (ctypes.CDLL(None), *([ctypes.CDLL(libm)] if libm else []))


def _address_of(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


def _write_atomically(path: Path, data: bytes) -> None:
    """Two processes that compile the same kernel both succeed; a read-only home costs only time."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
