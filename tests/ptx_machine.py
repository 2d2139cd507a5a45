"""Runs PTX: what the compiler made of a kernel, thread by thread, on an emulated card's memory.

Threads of many blocks are one vector. Those that are furthest behind go on; before a warp's word
a thread waits for its warp, at a barrier for its block.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from emulator_memory import Memory
from numpy import ndarray
from ptx_meanings import DTYPES, WARP, meaning_of, multiplied, shuffled, tile_of
from ptx_source import Piece, Statement, read

from ops.cuda.device import Launch

TOGETHER = 4096  # threads
ENDED = np.iinfo(np.int32).max
SHARED = "dynamic_shared"
PLACES = ("%tid.x", "%ctaid.x", "%ctaid.y", "%ctaid.z", "%ntid.x", "%nctaid.x")


class Machine:
    """A kernel's PTX, ready to be run."""

    def __init__(self, ptx: str) -> None:
        self.source = read(ptx)
        self._slots = {name: slot for slot, name in enumerate(self.source.registers)}
        self._codes = [_Coder(self, piece).codes() for piece in self.source.pieces]

    def run(self, launch: Launch, memory: Memory) -> None:
        wide, high, deep = launch.grid
        places = [(x, y, z) for z, y, x in product(range(deep), range(high), range(wide))]
        step = max(1, TOGETHER // launch.threads)
        with np.errstate(all="ignore"):
            for start in range(0, len(places), step):
                self._run(_State(self, launch, memory, places[start : start + step]))

    def _run(self, state: "_State") -> None:
        pieces = self.source.pieces
        while (behind := int(state.places.min())) != ENDED:
            mask = self._ready(state, behind)
            at = int(state.places[mask.argmax()])
            whole = bool(mask.all())
            plain, masked = self._codes[at]
            if whole:
                plain(state, state.registers)
            else:
                masked(state, state.registers, mask)
            self._go_on(state, at, pieces[at], mask)

    def _ready(self, state: "_State", behind: int) -> ndarray:
        """Threads at one piece, which wait for nobody."""
        places = state.places
        for at in [behind, *np.unique(places).tolist()]:
            mask = places == at
            meets = self.source.pieces[at].meets if at != ENDED else "nobody"
            if not meets:
                return mask
            size = {"warp": WARP, "block": state.launch.threads}.get(meets)
            if size:
                together = mask.reshape(-1, size).all(1)
                if together.any():
                    return np.repeat(together, size)
        raise AssertionError("threads wait for others that will not come")

    def _go_on(self, state: "_State", at: int, piece: Piece, mask: ndarray) -> None:
        branch, target = piece.branch, at + 1
        if branch and branch.opcode == "ret":
            target = ENDED
        elif branch:
            target = self.source.labels[str(branch.operands[0])]
        if branch and branch.guard:
            taken = state.registers[self._slots[branch.guard.lstrip("!")]]
            taken = ~taken if branch.guard[0] == "!" else taken
            state.places[mask & ~taken] = at + 1
            mask = mask & taken
        state.places[mask] = target

    @property
    def opcodes(self) -> set[str]:
        return {one.opcode for piece in self.source.pieces for one in piece.statements}

    def slot(self, name: str) -> int:
        return self._slots[name]


class _State:
    """Some blocks while they run: registers, shared memory, and the piece each thread is at."""

    def __init__(
        self, machine: Machine, launch: Launch, memory: Memory, blocks: Sequence[tuple[int, ...]]
    ) -> None:
        self.launch, self.memory = launch, memory
        self.threads = len(blocks) * launch.threads
        self.places = np.zeros(self.threads, np.int32)
        spread = [np.repeat(np.array(one, np.uint32), launch.threads) for one in zip(*blocks)]
        every = np.tile(np.arange(launch.threads, dtype=np.uint32), len(blocks))
        sizes = [np.full(self.threads, one, np.uint32) for one in (launch.threads, launch.grid[0])]
        self.special = dict(zip(PLACES, [every, *spread, *sizes], strict=True))
        self.special[SHARED] = np.zeros(self.threads, np.uint32)
        kinds = machine.source.registers.values()
        self.registers = [_garbage(DTYPES[kind], self.threads) for kind in kinds]
        self._stride = -(-max(launch.shared, 1) // 16) * 16
        self._shared = np.full(self._stride * len(blocks), 0xA5, np.uint8)
        self._offsets = np.repeat(np.arange(len(blocks)) * self._stride, launch.threads)
        self.parameters = dict(zip(machine.source.parameters, launch.operands, strict=True))

    def parameter(self, name: str, kind: str) -> ndarray:
        return np.full(self.threads, self.parameters[name], DTYPES[kind])

    def load(self, space: str, kind: str, count: int, address: ndarray, mask: Any) -> Any:
        if mask is not None:  # idle threads do as one that runs
            address = np.where(mask, address, address[mask.argmax()])
        data, at = self._find(space, address, DTYPES[kind]().itemsize * count, slice(None))
        view = data.view(DTYPES[kind]).reshape(-1, count)
        return tuple(np.ascontiguousarray(view.take(at, 0).T))

    def store(self, space: str, kind: str, address: ndarray, values: Any, mask: Any) -> None:
        chosen = slice(None) if mask is None else mask
        rows = np.stack([value[chosen] for value in values], 1)
        data, at = self._find(space, address[chosen], rows.itemsize * rows.shape[1], chosen)
        view = data.view(rows.dtype).reshape(-1, rows.shape[1])
        view[at] = rows
        bits = f"u{rows.itemsize}"
        same = np.array_equal(view.take(at, 0).view(bits), rows.view(bits))
        assert same, "threads store different values at one place at once"

    def _find(self, space: str, address: ndarray, size: int, chosen: Any) -> tuple[ndarray, Any]:
        address = address.astype(np.int64)
        if space == "global":
            return self.memory.data, self.memory.at(address, size) // size
        assert not (address % size).any(), f"shared memory: not aligned to {size}"
        last = self.launch.shared - size
        assert address.min() >= 0 and address.max() <= last, f"shared memory: {address.max()}"
        return self._shared, (self._offsets[chosen] + address) // size


def _garbage(dtype: Any, count: int) -> ndarray:
    return np.full(count * np.dtype(dtype).itemsize, 1 if dtype is np.bool_ else 0xA5, "u1").view(
        dtype
    )


# --- from statements to Python


class _Coder:
    """The Python of one piece, for all threads and for some."""

    def __init__(self, machine: Machine, piece: Piece) -> None:
        self._machine, self._piece = machine, piece
        self._names: dict[str, Any] = {"DTYPES": DTYPES, "where": np.where}

    def codes(self) -> tuple[Callable[..., None], Callable[..., None]]:
        lines = [list(self._lines(one)) for one in self._piece.statements]
        text = "def plain(s, R):\n m = None\n"
        text += "".join(f" {target} = {value}\n" for line in lines for target, value in line)
        text += "def masked(s, R, m):\n pass\n"
        for line in lines:
            for target, value in line:
                kept = target.startswith("R[")
                text += f" {target} = " + (f"where(m, {value}, {target})\n" if kept else value + "\n")
        scope = dict(self._names)
        exec(compile(text, "a piece of PTX", "exec"), scope)
        return scope["plain"], scope["masked"]

    def _lines(self, one: Statement) -> Iterator[tuple[str, str]]:
        """(target, value) of assignments."""
        head, *mods = one.opcode.split(".")
        if head == "bar":
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
            call = f"{self._named(multiplied)}({self._named(tile)}, {', '.join(listed)})"
            yield from self._spread(list(D), kind, call)
        elif head == "shfl":
            d, a, b, bounds, members = map(str, one.operands)
            assert bounds == "31" and int(members, 16) == 0xFFFFFFFF, one
            call = f"({mods[1]!r}, {self._value(a, 'b32')}, {self._value(b, 'u32')})"
            yield self._result(d, "b32", self._named(shuffled) + call)
        else:
            meaning = meaning_of(one.opcode)
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
        target = f"R[{self._machine.slot(register)}]"
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
        value = f"R[{self._machine.slot(text)}]"
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
        return self._machine.source.registers[register]

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

