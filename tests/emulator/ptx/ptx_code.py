"""Straight code of PTX as Python over vectors of threads: `R` are registers, `s` the state."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray
from ptx_meanings import DTYPES, meaning_of, multiplied, shuffled, tile_of
from ptx_rounding import EXACT, Rounding
from ptx_source import Piece, Source, Statement

SHARED = "dynamic_shared"
PLACES = ("%tid.x", "%ctaid.x", "%ctaid.y", "%ctaid.z", "%ntid.x", "%nctaid.x")
HINTS = {"nc", "L1::no_allocate", "v2", "v4"}  # of loads and stores
Code = Callable[..., None]


class Coder:
    """For one entry, whose registers have these slots."""

    def __init__(self, source: Source, slots: dict[str, int], rounding: Rounding) -> None:
        self._source, self._slots, self._rounding = source, slots, rounding
        self._names: dict[str, Any] = {"DTYPES": DTYPES, "where": np.where}

    def codes(self, piece: Piece) -> tuple[Code, Code]:
        """For all threads, and for those of a mask: functions of a state and its registers."""
        lines = [line for one in piece.statements for line in self._lines(one)]
        plain, masked = "def plain(s, R):\n m = None\n", "def masked(s, R, m):\n m = m\n"
        for target, value in lines:
            plain += f" {target} = {value}\n"
            kept = f"where(m, {value}, {target})" if target.startswith("R[") else value
            masked += f" {target} = {kept}\n"
        scope = dict(self._names)
        exec(compile(plain + masked, "a piece of PTX", "exec"), scope)
        return scope["plain"], scope["masked"]

    def _lines(self, one: Statement) -> Iterator[tuple[str, str]]:
        """(target, value) of assignments."""
        head, *mods = one.opcode.split(".")
        if one.meets and head == "bar":
            return
        if head in ("ld", "st"):
            yield from self._touched(head, mods, one)
        elif head == "mov":
            yield from self._moved(mods[-1], one)
        elif head == "mma":
            tile = tile_of(one.opcode)
            kind = "f32" if tile.kind == "f16" else "s32"
            D, A, B, C = one.operands
            assert tuple(map(len, (A, B, C))) == tile.words, one
            listed = [self._listed(A, "b32"), self._listed(B, "b32"), self._listed(C, kind)]
            summed = self._rounding.summed if tile.kind == "f16" else EXACT.summed
            function = self._named(partial(multiplied, summed, tile))
            call = f"{function}({', '.join(listed)})"
            yield from self._spread(list(D), kind, call)
        elif head == "shfl":
            d, a, b, bounds, members = map(str, one.operands)
            assert bounds == "31" and int(members, 16) == 0xFFFFFFFF, one
            assert one.opcode in ("shfl.sync.bfly.b32", "shfl.sync.idx.b32"), one
            call = f"({mods[1]!r}, {self._value(a, 'b32')}, {self._value(b, 'u32')})"
            yield self._result(d, "b32", self._named(shuffled) + call)
        else:
            meaning = meaning_of(one.opcode, self._rounding.approximate)
            d, *operands = map(str, one.operands)
            values = [
                self._value(text, kind)
                for text, kind in zip(operands, meaning.operands, strict=True)
            ]
            call = f"{self._named(meaning.function)}({', '.join(values)})"
            yield self._result(d, meaning.result, call)

    def _moved(self, kind: str, one: Statement) -> Iterator[tuple[str, str]]:
        to, given = one.operands
        half = {"b32": "b16", "b64": "b32"}.get(kind, "")
        size = {"b16": "u2", "b32": "u4"}.get(half)
        if isinstance(to, list):
            parts = f"{self._value(str(given), kind)}.view({size!r}).reshape(-1, 2).T.copy()"
            yield from self._spread(to, half, parts)
        elif isinstance(given, list):
            parts = self._listed(given, half)
            whole = f"{self._named(_side_by_side)}({parts}).view({self._dtype(kind)})[:, 0]"
            yield self._result(to, kind, whole)
        else:
            yield self._result(to, kind, self._value(given, kind))

    def _touched(self, head: str, mods: list[str], one: Statement) -> Iterator[tuple[str, str]]:
        space, kind = mods[0], mods[-1]
        if space == "param":
            to, name = str(one.operands[0]), str(one.operands[1])[1:-1]
            # a register may be wider than what it takes
            wide = {"s32": "s64", "u32": "u64"} if self._kind_of(to) == "b64" else {}
            kind = wide.get(kind, kind)
            yield self._result(to, kind, f"s.parameter({name!r}, {kind!r})")
            return
        assert space in ("global", "shared") and HINTS.issuperset(mods[1:-1]), one
        data, place = one.operands if head == "ld" else one.operands[::-1]
        data = data if isinstance(data, list) else [data]
        address = self._address(str(place))
        if head == "ld":
            call = f"s.load({space!r}, {kind!r}, {len(data)}, {address}, m)"
            yield from self._spread(data, "u16" if kind == "u8" else kind, call)
        else:
            values = self._listed(data, "u16" if kind == "u8" else kind)
            if kind == "u8":
                values = f"[{values}[0].astype('u1')]"
            yield "_", f"s.store({space!r}, {kind!r}, {address}, {values}, m)"

    def _address(self, text: str) -> str:
        found = re.match(r"\[(%?\w+)(?:\+(-?\d+))?\]", text)
        assert found, text
        wide = found[1] == SHARED or self._kind_of(found[1]) == "b32"
        base = self._value(found[1], "u32" if wide else "s64")
        return f"({base} + {int(found[2])})" if found[2] else base

    def _spread(self, to: list[str], kind: str, values: str) -> Iterator[tuple[str, str]]:
        yield "t", values
        for n, name in enumerate(to):
            yield self._result(name, kind, f"t[{n}]")

    def _result(self, register: str, kind: str, value: str) -> tuple[str, str]:
        own = DTYPES[self._kind_of(register)]
        target = f"R[{self._slots[register]}]"
        if kind == "u16" and own is np.uint16:
            return target, f"{value}.astype('u2')"
        if DTYPES[kind] is not own:
            assert np.dtype(own).itemsize == np.dtype(DTYPES[kind]).itemsize, (register, kind)
            value = f"{value}.view({self._dtype(self._kind_of(register))})"
        return target, value

    def _value(self, text: str, kind: str) -> str:
        if text in PLACES or text == SHARED:
            return f"s.special[{text!r}].astype({self._dtype(kind)})"
        if text[0] != "%" and not re.match(r"[a-z]+\.\d+$", text):
            return f"{self._named(_constant(text, DTYPES[kind]))}.repeat(s.threads)"
        value = f"R[{self._slots[text]}]"
        own = DTYPES[self._kind_of(text)]
        if own is DTYPES[kind]:
            return value
        if np.dtype(own).itemsize > np.dtype(DTYPES[kind]).itemsize:  # its lower bits
            return f"{value}.astype({self._dtype(kind)})"
        assert np.dtype(own).itemsize == np.dtype(DTYPES[kind]).itemsize, (text, kind)
        return f"{value}.view({self._dtype(kind)})"

    def _listed(self, names: Any, kind: str) -> str:
        return f"[{', '.join(self._value(name, kind) for name in names)}]"

    def _kind_of(self, register: str) -> str:
        return self._source.registers[register]

    def _dtype(self, kind: str) -> str:
        return f"DTYPES[{kind!r}]"

    def _named(self, value: Any) -> str:
        name = f"k{len(self._names)}"
        self._names[name] = value
        return name


def _side_by_side(parts: list[ndarray]) -> ndarray:
    return np.ascontiguousarray(np.stack(parts, 1))


def _constant(text: str, dtype: Any) -> ndarray:
    """One number as an array, so that all arithmetic wraps."""
    if text[:2] in ("0f", "0d"):
        bits = np.array([int(text[2:], 16)], np.uint32 if text[1] == "f" else np.uint64)
        return bits.view(np.float32 if text[1] == "f" else np.float64).astype(dtype)
    size = np.dtype(dtype).itemsize
    if dtype is np.bool_:
        return np.array([int(text) != 0])
    return np.array([int(text, 0) & (1 << 8 * size) - 1], f"u{size}").view(dtype)
