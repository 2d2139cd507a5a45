"""The words that kernels are written in: one instruction of PTX each, with its meaning in Python.

Kernels are plain Python functions over these words. `ops.cuda.ptx` compiles them; the emulator of
the tests runs them as they stand, and takes each word at its meaning. Words that move data take
addresses; those of shared memory are offsets in it, 32 bits wide. A warp's words (`collective`)
must be met by all 32 threads together: their meaning takes what all lanes gave, and gives what
each gets. PTX: docs.nvidia.com/cuda/parallel-thread-execution.
"""

import ctypes
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

Address = Annotated[int, "l"]  # int64
Int = Annotated[int, "i"]  # int32
Float = Annotated[float, "f"]  # float32
Double = Annotated[float, "d"]  # float64
Four = tuple[int, int, int, int]

Kind = Literal["plain", "collective", "register", "barrier", "shared_base"]
Space = Literal["global", "shared"]
Assembly = str | Callable[[int], str]  # for a compute capability as in sm_89

WARP = 32
EVERYONE = "0xffffffff"


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """A word: its PTX ($0 is the first result), the letters of results and operands, its meaning.

    `effects`: it writes memory or must keep its place. `touches`: the bytes at its first operand
    that it reads or writes, and in which memory.
    """

    name: str
    assembly: Assembly
    results: str
    operands: str
    meaning: Callable[..., Any]
    kind: Kind = "plain"
    effects: bool = False
    touches: tuple[Space, int] | None = None

    def __call__(self, *operands: Any) -> Any:
        """Its meaning: a device function can be called from Python, too."""
        return self.meaning(*operands)

    @property
    def constraints(self) -> str:
        letters = {"i": "r", "l": "l", "f": "f", "d": "d"}
        outs = [f"={letters[one]}" for one in self.results]
        clobbers = ["~{memory}"] if self.effects else []
        return ",".join([*outs, *(letters[one] for one in self.operands), *clobbers])


Declare = Callable[[Callable[..., Any]], Primitive]


def _word(assembly: Assembly, signature: str, **more: Any) -> Declare:
    """`signature`: the letters of results, a colon, those of operands."""
    results, operands = signature.split(":")

    def declare(meaning: Callable[..., Any]) -> Primitive:
        name = meaning.__name__
        return Primitive(name, assembly, results, operands, meaning, **more)

    return declare


def _collective(assembly: Assembly, signature: str) -> Declare:
    return _word(assembly, signature, kind="collective")


def _load(assembly: str, signature: str, size: int, space: Space = "global") -> Declare:
    return _word(assembly, signature, touches=(space, size), effects=space == "shared")


def _store(assembly: str, signature: str, size: int, space: Space = "global") -> Declare:
    return _word(assembly, signature, touches=(space, size), effects=True)


def wrapped(number: int) -> int:
    """As 32 bits hold it."""
    return (int(number) + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def as_bytes(word: int) -> tuple[int, int, int, int]:
    """The four signed bytes of a word."""
    return struct.unpack("<4b", struct.pack("<i", wrapped(word)))  # type: ignore[return-value]


def as_halves(word: int) -> tuple[float, float]:
    return struct.unpack("<2e", struct.pack("<i", wrapped(word)))  # type: ignore[return-value]


# --- casts: names of types, by which numbers are converted


@dataclass(frozen=True, slots=True)
class Cast:
    """`i32(x)` and `f32(x)`; as an element type of `local.array` it makes an array of such."""

    letter: Literal["i", "f"]

    def __call__(self, number: Any) -> Any:
        return wrapped(int(number)) if self.letter == "i" else np.float32(number)


i32, f32 = Cast("i"), Cast("f")


class Local:
    """A thread's own arrays of a constant size: they become registers."""

    @staticmethod
    def array(size: int, kind: Cast) -> list[Any]:
        """What is read before it was written is no number."""
        return [np.float32(math.nan) if kind.letter == "f" else 0x7BAD7BAD] * size


local = Local()


# --- where a thread stands


@_word("mov.u32 $0, %tid.x;", "i:", kind="register")
def thread_x() -> Any: ...


@_word("mov.u32 $0, %ctaid.x;", "i:", kind="register")
def block_x() -> Any: ...


@_word("mov.u32 $0, %ctaid.y;", "i:", kind="register")
def block_y() -> Any: ...


@_word("mov.u32 $0, %ctaid.z;", "i:", kind="register")
def block_z() -> Any: ...


@_word("mov.u32 $0, %ntid.x;", "i:", kind="register")
def threads() -> Any: ...


@_word("mov.u32 $0, %nctaid.x;", "i:", kind="register")
def blocks_x() -> Any: ...


@_word("bar.sync 0;", ":", kind="barrier", effects=True)
def barrier() -> Any:
    """All threads of the block meet; what they wrote before is seen by all afterwards."""


@_word("", "i:", kind="shared_base")
def shared_memory() -> Any:
    """The address of the block's shared memory (the launch tells its size)."""


# --- memory


def _read(address: int, kind: Any, count: int) -> list[Any]:
    return list((kind * count).from_address(address))


def _write(address: int, kind: Any, *numbers: Any) -> None:
    (kind * len(numbers)).from_address(address)[:] = numbers


_I32, _F32 = ctypes.c_int32, ctypes.c_float


@_load("ld.global.nc.b32 $0, [$1];", "i:l", 4)
def load_int(address: int) -> Any:
    """`nc`: of what no thread of this launch writes."""
    return _read(address, _I32, 1)[0]


@_load("ld.global.nc.b64 $0, [$1];", "l:l", 8)
def load_address(address: int) -> Any:
    return _read(address, ctypes.c_int64, 1)[0]


@_load("ld.global.nc.f32 $0, [$1];", "f:l", 4)
def load_float(address: int) -> Any:
    return np.float32(_read(address, _F32, 1)[0])


@_load("{ .reg .u16 h; ld.global.nc.u16 h, [$1]; cvt.u32.u16 $0, h; }", "i:l", 2)
def load_short(address: int) -> Any:
    """16 bits, the upper half of the word is zero."""
    return _read(address, ctypes.c_uint16, 1)[0]


@_load("{ .reg .u16 h; ld.global.nc.u8 h, [$1]; cvt.u32.u16 $0, h; }", "i:l", 1)
def load_byte(address: int) -> Any:
    """8 bits, the others are zero."""
    return _read(address, ctypes.c_uint8, 1)[0]


@_load("ld.global.nc.v2.b32 {$0, $1}, [$2];", "ii:l", 8)
def load_int2(address: int) -> Any:
    return tuple(_read(address, _I32, 2))


@_load("ld.global.nc.v4.b32 {$0, $1, $2, $3}, [$4];", "iiii:l", 16)
def load_int4(address: int) -> Any:
    return tuple(_read(address, _I32, 4))


@_load("ld.global.nc.L1::no_allocate.v4.b32 {$0, $1, $2, $3}, [$4];", "iiii:l", 16)
def stream_int4(address: int) -> Any:
    """Of what is read once: it does not push other things out of the first cache."""
    return tuple(_read(address, _I32, 4))


@_load("ld.global.nc.v2.f32 {$0, $1}, [$2];", "ff:l", 8)
def load_float2(address: int) -> Any:
    return tuple(map(np.float32, _read(address, _F32, 2)))


@_load("ld.global.nc.v4.f32 {$0, $1, $2, $3}, [$4];", "ffff:l", 16)
def load_float4(address: int) -> Any:
    return tuple(map(np.float32, _read(address, _F32, 4)))


@_word("ld.global.b32 $0, [$1];", "i:l", touches=("global", 4), effects=True)
def reload_int(address: int) -> Any:
    """Of what this launch may have written."""
    return _read(address, _I32, 1)[0]


@_word("ld.global.f32 $0, [$1];", "f:l", touches=("global", 4), effects=True)
def reload_float(address: int) -> Any:
    """Of what this launch may have written."""
    return np.float32(_read(address, _F32, 1)[0])


@_store("st.global.b32 [$0], $1;", ":li", 4)
def store_int(address: int, number: int) -> Any:
    _write(address, _I32, wrapped(number))


@_store("st.global.f32 [$0], $1;", ":lf", 4)
def store_float(address: int, number: float) -> Any:
    _write(address, _F32, number)


@_store("st.global.v2.f32 [$0], {$1, $2};", ":lff", 8)
def store_float2(address: int, *numbers: float) -> Any:
    _write(address, _F32, *numbers)


@_store("{ .reg .u16 h; cvt.u16.u32 h, $1; st.global.u16 [$0], h; }", ":li", 2)
def store_short(address: int, number: int) -> Any:
    _write(address, ctypes.c_uint16, number & 0xFFFF)


@_store("{ .reg .u16 h; cvt.u16.u32 h, $1; st.global.u8 [$0], h; }", ":li", 1)
def store_byte(address: int, number: int) -> Any:
    _write(address, ctypes.c_uint8, number & 0xFF)


@_store("st.global.v4.b32 [$0], {$1, $2, $3, $4};", ":liiii", 16)
def store_int4(address: int, *numbers: int) -> Any:
    _write(address, _I32, *map(wrapped, numbers))


@_load("ld.shared.b32 $0, [$1];", "i:i", 4, "shared")
def shared_load_int(address: int) -> Any:
    return _read(address, _I32, 1)[0]


@_load("ld.shared.f32 $0, [$1];", "f:i", 4, "shared")
def shared_load_float(address: int) -> Any:
    return np.float32(_read(address, _F32, 1)[0])


@_load("ld.shared.v4.b32 {$0, $1, $2, $3}, [$4];", "iiii:i", 16, "shared")
def shared_load_int4(address: int) -> Any:
    return tuple(_read(address, _I32, 4))


@_store("st.shared.b32 [$0], $1;", ":ii", 4, "shared")
def shared_store_int(address: int, number: int) -> Any:
    _write(address, _I32, wrapped(number))


@_store("st.shared.v4.b32 [$0], {$1, $2, $3, $4};", ":iiiii", 16, "shared")
def shared_store_int4(address: int, *numbers: int) -> Any:
    _write(address, _I32, *map(wrapped, numbers))


@_store("st.shared.f32 [$0], $1;", ":if", 4, "shared")
def shared_store_float(address: int, number: float) -> Any:
    _write(address, _F32, number)


@_store("{ .reg .u16 h; cvt.u16.u32 h, $1; st.shared.u16 [$0], h; }", ":ii", 2, "shared")
def shared_store_short(address: int, number: int) -> Any:
    _write(address, ctypes.c_uint16, number & 0xFFFF)


# --- arithmetic of a thread


def _saturated(a: float) -> int:
    """Of what is no number 0."""
    return 0 if a != a else int(np.rint(np.clip(float(a), -0x80000000, 0x7FFFFFFF)))


@_word("dp4a.s32.s32 $0, $1, $2, $3;", "i:iii")
def dp4a(a: int, b: int, c: int) -> Any:
    """c + Σ of the products of four signed bytes."""
    return wrapped(c + sum(x * y for x, y in zip(as_bytes(a), as_bytes(b), strict=True)))


@_word("bfe.s32 $0, $1, $2, $3;", "i:iii")
def signed_bits(word: int, start: int, length: int) -> Any:
    """So many bits of a word from bit `start` on, as a signed number."""
    bits = (word >> start) & ((1 << length) - 1)
    return bits - (1 << length) if bits >> (length - 1) else bits


@_word("bfe.u32 $0, $1, $2, $3;", "i:iii")
def bits(word: int, start: int, length: int) -> Any:
    """So many bits of a word from bit `start` on."""
    return (word >> start) & ((1 << length) - 1)


@_word("shr.u32 $0, $1, $2;", "i:ii")
def shift_right(word: int, count: int) -> Any:
    """Zeros come in."""
    return wrapped((word & 0xFFFFFFFF) >> count)


@_word("shl.b32 $0, $1, $2;", "i:ii")
def shift_left(word: int, count: int) -> Any:
    return wrapped(word << count)


@_word("prmt.b32 $0, $1, $2, $3;", "i:iii")
def permute(a: int, b: int, selector: int) -> Any:
    """Byte n of the result is the one of a (0-3) or b (4-7) that the n-th four bits name."""
    pool = struct.pack("<ii", wrapped(a), wrapped(b))
    chosen = bytes(pool[(selector >> 4 * n) & 7] for n in range(4))
    return struct.unpack("<i", chosen)[0]


@_word("div.u32 $0, $1, $2;", "i:ii")
def quotient(a: int, b: int) -> Any:
    """Of numbers that are not negative: in 32 bits, where `//` takes 64."""
    return a // b


@_word("rem.u32 $0, $1, $2;", "i:ii")
def remainder(a: int, b: int) -> Any:
    return a % b


@_word("fma.rn.f32 $0, $1, $2, $3;", "f:fff")
def fma(a: float, b: float, c: float) -> Any:
    """a·b + c, rounded once."""
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


@_word("add.rn.f32 $0, $1, $2;", "f:ff")
def plus(a: float, b: float) -> Any:
    """a + b, never contracted with a product."""
    with np.errstate(all="ignore"):
        return np.float32(a) + np.float32(b)


@_word("mul.rn.f32 $0, $1, $2;", "f:ff")
def times(a: float, b: float) -> Any:
    with np.errstate(all="ignore"):
        return np.float32(a) * np.float32(b)


@_word("div.rn.f32 $0, $1, $2;", "f:ff")
def divided(a: float, b: float) -> Any:
    with np.errstate(all="ignore"):
        return np.float32(a) / np.float32(b)


@_word("rcp.approx.ftz.f32 $0, $1;", "f:f")
def reciprocal(a: float) -> Any:
    """1 / a, but for the last bit: an instruction, where `divided` is a function."""
    with np.errstate(all="ignore"):
        return np.float32(1) / np.float32(a)


@_word("sqrt.rn.f32 $0, $1;", "f:f")
def root(a: float) -> Any:
    return np.sqrt(np.float32(a))


@_word("min.f32 $0, $1, $2;", "f:ff")
def lesser(a: float, b: float) -> Any:
    return np.float32(np.fmin(a, b))


@_word("max.f32 $0, $1, $2;", "f:ff")
def greater(a: float, b: float) -> Any:
    return np.float32(np.fmax(a, b))


@_word("abs.f32 $0, $1;", "f:f")
def magnitude(a: float) -> Any:
    return np.float32(abs(a))


@_word("cvt.rni.s32.f32 $0, $1;", "i:f")
def nearest(a: float) -> Any:
    """The nearest whole number, the even one of two; the ends of int32 where it is beyond."""
    return _saturated(a)


@_word("cvt.rn.f32.s32 $0, $1;", "f:i")
def as_float(a: int) -> Any:
    return np.float32(a)


@_word("mov.b32 $0, $1;", "i:f")
def bits_of(a: float) -> Any:
    """The bits of a float."""
    return int(np.float32(a).view(np.int32))


@_word("mov.b32 $0, $1;", "f:i")
def float_of(a: int) -> Any:
    """The float of these bits."""
    return np.int32(wrapped(a)).view(np.float32)


@_word("ex2.approx.ftz.f32 $0, $1;", "f:f")
def power_of_two(a: float) -> Any:
    """2^a, to some 2^-22 of it; 2^-inf is 0."""
    with np.errstate(all="ignore"):
        return np.float32(np.exp2(np.float32(a)))


@_word("lg2.approx.ftz.f32 $0, $1;", "f:f")
def logarithm(a: float) -> Any:
    """To the base 2."""
    with np.errstate(all="ignore"):
        return np.float32(np.log2(np.float32(a)))


_TURN = """{ .reg .f64 a, r, t; .reg .f32 s;
cvt.rn.f64.s32 a, $2; cvt.f64.f32 t, $3; mul.rn.f64 a, a, t;
mul.rn.f64 r, a, 0d3FC45F306DC9C883; cvt.rni.f64.f64 r, r;
fma.rn.f64 a, r, 0dC01921FB54442D18, a; cvt.rn.f32.f64 s, a;
cos.approx.f32 $0, s; sin.approx.f32 $1, s; }"""


@_word(_TURN.replace("\n", " "), "ff:if")
def turn(position: int, frequency: float) -> Any:
    """The cosine and sine of position · frequency, brought into ±π in float64 before."""
    angle = float(position) * float(np.float32(frequency))
    angle = np.float32(math.fmod(angle, 2 * math.pi))
    return np.float32(np.cos(angle)), np.float32(np.sin(angle))


@_word("{ .reg .b16 l, h; mov.b32 {l, h}, $1; cvt.f32.f16 $0, l; }", "f:i")
def low_half(word: int) -> Any:
    """The lower float16 of a word."""
    return np.float32(as_halves(word)[0])


@_word("{ .reg .b16 l, h; mov.b32 {l, h}, $1; cvt.f32.f16 $0, h; }", "f:i")
def high_half(word: int) -> Any:
    return np.float32(as_halves(word)[1])


_HALVES = """{ .reg .b16 l, h; cvt.rn.f16.f32 l, $1; cvt.rn.f16.f32 h, $2;
mov.b32 $0, {l, h}; }"""


@_word(_HALVES.replace("\n", " "), "i:ff")
def halves(low: float, high: float) -> Any:
    """A word of two float16."""
    with np.errstate(over="ignore"):
        pair = np.array([low, high], np.float32).astype(np.float16)
    return int(pair.view(np.int32)[0])


@_word("mul.rn.f16x2 $0, $1, $2;", "i:ii")
def times_halves(a: int, b: int) -> Any:
    """Two products of float16."""
    pairs = np.array([wrapped(a), wrapped(b)], np.int32).view(np.float16).reshape(2, 2)
    with np.errstate(all="ignore"):
        return int((pairs[0] * pairs[1]).view(np.int32)[0])


@_word("add.rn.f16x2 $0, $1, $2;", "i:ii")
def plus_halves(a: int, b: int) -> Any:
    """Two sums of float16."""
    pairs = np.array([wrapped(a), wrapped(b)], np.int32).view(np.float16).reshape(2, 2)
    with np.errstate(all="ignore"):
        return int((pairs[0] + pairs[1]).view(np.int32)[0])


# --- float64, for what must agree with the host's


@_load("ld.global.nc.f64 $0, [$1];", "d:l", 8)
def load_double(address: int) -> Any:
    return _read(address, ctypes.c_double, 1)[0]


@_load("ld.shared.f64 $0, [$1];", "d:i", 8, "shared")
def shared_load_double(address: int) -> Any:
    return _read(address, ctypes.c_double, 1)[0]


@_store("st.shared.f64 [$0], $1;", ":id", 8, "shared")
def shared_store_double(address: int, number: float) -> Any:
    _write(address, ctypes.c_double, number)


@_word("cvt.f64.f32 $0, $1;", "d:f")
def as_double(a: float) -> Any:
    return float(np.float32(a))


@_word("cvt.rn.f64.s32 $0, $1;", "d:i")
def double_of_int(a: int) -> Any:
    return float(a)


@_word("cvt.rni.s32.f64 $0, $1;", "i:d")
def nearest_to_double(a: float) -> Any:
    return _saturated(a)


@_word("{ .reg .b32 z; mov.b32 z, 0; mov.b64 $0, {z, $1}; }", "d:i")
def double_of_upper(a: int) -> Any:
    """The float64 with these upper 32 bits, the others are zero."""
    return struct.unpack("<d", struct.pack("<ii", 0, wrapped(a)))[0]


@_word("add.rn.f64 $0, $1, $2;", "d:dd")
def plus_double(a: float, b: float) -> Any:
    return float(a) + float(b)


@_word("mul.rn.f64 $0, $1, $2;", "d:dd")
def times_double(a: float, b: float) -> Any:
    return float(a) * float(b)


@_word("div.rn.f64 $0, $1, $2;", "d:dd")
def divided_double(a: float, b: float) -> Any:
    with np.errstate(all="ignore"):
        return float(np.float64(a) / np.float64(b))


@_word("fma.rn.f64 $0, $1, $2, $3;", "d:ddd")
def fma_double(a: float, b: float, c: float) -> Any:
    """Rounded once on a card, twice here."""
    return float(a) * float(b) + float(c)


# --- words of a warp


Lanes = Sequence[Any]  # what each of the 32 lanes gave


@_collective(f"shfl.sync.bfly.b32 $0, $1, $2, 31, {EVERYONE};", "i:ii")
def shuffle_xor(lanes: Lanes) -> list[Any]:
    """(number, mask): the number of the lane whose place differs in the mask's bits."""
    return [lanes[n ^ mask][0] for n, (_, mask) in enumerate(lanes)]


@_collective(f"shfl.sync.bfly.b32 $0, $1, $2, 31, {EVERYONE};", "f:fi")
def shuffle_xor_float(lanes: Lanes) -> list[Any]:
    return [lanes[n ^ mask][0] for n, (_, mask) in enumerate(lanes)]


@_collective(f"shfl.sync.idx.b32 $0, $1, $2, 31, {EVERYONE};", "i:ii")
def shuffle(lanes: Lanes) -> list[Any]:
    """(number, lane): that lane's number."""
    return [lanes[source % WARP][0] for _, source in lanes]


@_collective(f"shfl.sync.idx.b32 $0, $1, $2, 31, {EVERYONE};", "f:fi")
def shuffle_float(lanes: Lanes) -> list[Any]:
    return [lanes[source % WARP][0] for _, source in lanes]


@_collective(f"bar.warp.sync {EVERYONE};", ":")
def warp_barrier(lanes: Lanes) -> list[Any]:
    """The warp's threads meet; what they wrote to shared memory is seen by all of them."""
    return [None] * len(lanes)


def _mma_s8(sm: int) -> str:
    if sm >= 80:
        return (
            "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
            "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
        )
    eight = "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32"
    return (
        "{ .reg .b32 p, q, r, s; "
        f"{eight} {{p, q}}, {{$4}}, {{$8}}, {{$10, $11}}; {eight} {{$0, $1}}, {{$6}}, {{$9}}, "
        f"{{p, q}}; {eight} {{r, s}}, {{$5}}, {{$8}}, {{$12, $13}}; {eight} {{$2, $3}}, {{$7}}, "
        "{$9}, {r, s}; }"
    )


@_collective(_mma_s8, "iiii:iiiiiiiiii")
def mma_s8(lanes: Lanes) -> list[Any]:
    """(a0..a3, b0, b1, c0..c3): C (16, 8) + A (16, 32) B (32, 8) of signed bytes.

    With g = lane // 4 and t = lane % 4 a lane holds of A the columns 4t.. of the rows g and g + 8
    (a0, a1) and the same of the columns 16 + 4t.. (a2, a3); of B the rows 4t.. (b0) and 16 + 4t..
    (b1) of column g; of C the columns 2t, 2t + 1 of row g (c0, c1) and of row g + 8 (c2, c3).
    """
    A, B = np.zeros((16, 32), np.int32), np.zeros((32, 8), np.int32)
    for lane, given in enumerate(lanes):
        g, t = divmod(lane, 4)
        for part, (row, column) in enumerate(((g, 0), (g + 8, 0), (g, 16), (g + 8, 16))):
            A[row, column + 4 * t : column + 4 * t + 4] = as_bytes(given[part])
        for part in range(2):
            B[16 * part + 4 * t : 16 * part + 4 * t + 4, g] = as_bytes(given[4 + part])
    return _c_fragments(A @ B, lanes, 6, wrapped)


def _mma_s8_half(sm: int) -> str:
    if sm >= 80:
        return (
            "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 "
            "{$0, $1, $2, $3}, {$4, $5}, {$6}, {$7, $8, $9, $10};"
        )
    eight = "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32"
    return (
        f"{{ {eight} {{$0, $1}}, {{$4}}, {{$6}}, {{$7, $8}}; "
        f"{eight} {{$2, $3}}, {{$5}}, {{$6}}, {{$9, $10}}; }}"
    )


@_collective(_mma_s8_half, "iiii:iiiiiii")
def mma_s8_half(lanes: Lanes) -> list[Any]:
    """(a0, a1, b0, c0..c3): as `mma_s8`, but of 16 columns of A."""
    A, B = np.zeros((16, 16), np.int32), np.zeros((16, 8), np.int32)
    for lane, given in enumerate(lanes):
        g, t = divmod(lane, 4)
        A[g, 4 * t : 4 * t + 4] = as_bytes(given[0])
        A[g + 8, 4 * t : 4 * t + 4] = as_bytes(given[1])
        B[4 * t : 4 * t + 4, g] = as_bytes(given[2])
    return _c_fragments(A @ B, lanes, 3, wrapped)


def _mma_f16(sm: int) -> str:
    kind = "row.col.f32.f16.f16.f32"
    if sm >= 80:
        return (
            f"mma.sync.aligned.m16n8k16.{kind} "
            "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
        )
    eight = f"mma.sync.aligned.m16n8k8.{kind}"
    return (
        "{ .reg .f32 p, q, r, s; "
        f"{eight} {{p, q, r, s}}, {{$4, $5}}, {{$8}}, {{$10, $11, $12, $13}}; "
        f"{eight} {{$0, $1, $2, $3}}, {{$6, $7}}, {{$9}}, {{p, q, r, s}}; }}"
    )


@_collective(_mma_f16, "ffff:iiiiiiffff")
def mma_f16(lanes: Lanes) -> list[Any]:
    """(a0..a3, b0, b1, c0..c3): C (16, 8) + A (16, 16) B (16, 8) of float16, summed in float32.

    Laid out as `mma_s8` with two float16 where that has four bytes: the columns 2t, 2t + 1 of A's
    row g (a0) and row g + 8 (a1), and 8 + 2t, 9 + 2t of both (a2, a3).
    """
    A, B = np.zeros((16, 16), np.float64), np.zeros((16, 8), np.float64)
    for lane, given in enumerate(lanes):
        g, t = divmod(lane, 4)
        for part, (row, column) in enumerate(((g, 0), (g + 8, 0), (g, 8), (g + 8, 8))):
            A[row, column + 2 * t : column + 2 * t + 2] = as_halves(given[part])
        for part in range(2):
            B[8 * part + 2 * t : 8 * part + 2 * t + 2, g] = as_halves(given[4 + part])
    with np.errstate(all="ignore"):
        # einsum: a column's sums must not depend on what stands in the others, as BLAS's may
        product = np.einsum("mk,kn->mn", A, B)
        return _c_fragments(product, lanes, 6, np.float32)


def _c_fragments(
    product: Any, lanes: Lanes, at: int, kind: Callable[[Any], Any]
) -> list[tuple[Any, ...]]:
    """What each lane holds of C + the product; its own C begins at operand `at`."""
    out = []
    for lane, given in enumerate(lanes):
        g, t = divmod(lane, 4)
        places = ((g, 2 * t), (g, 2 * t + 1), (g + 8, 2 * t), (g + 8, 2 * t + 1))
        out.append(tuple(kind(given[at + n] + product[place]) for n, place in enumerate(places)))
    return out


# --- what several kernels say


def lane() -> Int:
    """A thread's place in its warp."""
    return i32(thread_x() & 31)


def warp() -> Int:
    """A warp's place in its block."""
    return i32(thread_x() >> 5)


LOG2_E = np.float32(1.4426950408889634)
MOST_HALF = np.float32(65504.0)


def exponential(a: Float) -> Float:
    """e^a."""
    return power_of_two(times(a, LOG2_E))


def safe_halves(low: Float, high: Float) -> Int:
    """A word of two float16; what is too large for one becomes the largest."""
    low = greater(lesser(low, MOST_HALF), -MOST_HALF)
    high = greater(lesser(high, MOST_HALF), -MOST_HALF)
    return halves(low, high)


def warp_sum(a: Float) -> Float:
    """The sum over a warp's lanes, the same in all of them, always in the same order."""
    a = plus(a, shuffle_xor_float(a, 16))
    a = plus(a, shuffle_xor_float(a, 8))
    a = plus(a, shuffle_xor_float(a, 4))
    a = plus(a, shuffle_xor_float(a, 2))
    return plus(a, shuffle_xor_float(a, 1))


def warp_greatest(a: Float) -> Float:
    a = greater(a, shuffle_xor_float(a, 16))
    a = greater(a, shuffle_xor_float(a, 8))
    a = greater(a, shuffle_xor_float(a, 4))
    a = greater(a, shuffle_xor_float(a, 2))
    return greater(a, shuffle_xor_float(a, 1))
