"""Intrinsics: PTX instructions with their meaning in Python, and the types that kernels use.

Kernels are plain Python functions over the intrinsics of `memory`, `arithmetic` and `warps`.
`compile.ptx` compiles them; the emulator of the tests runs each intrinsic's meaning. Loads and
stores take addresses; those of shared memory are 32-bit offsets. All 32 threads of a warp must
execute a `collective` intrinsic together: its meaning takes the operands of all lanes and gives
each lane's result. PTX: docs.nvidia.com/cuda/parallel-thread-execution.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

Address = Annotated[int, "l"]  # int64
Int = Annotated[int, "i"]  # int32
Float = Annotated[float, "f"]  # float32
Double = Annotated[float, "d"]  # float64

Kind = Literal["plain", "collective", "register", "barrier", "shared_base"]
Space = Literal["global", "shared"]
Assembly = str | Callable[[int], str]  # or by compute capability, 89 for sm_89

WARP = 32
EVERYONE = "0xffffffff"


@dataclass(frozen=True, slots=True, eq=False)
class Intrinsic:
    """Its PTX ($0 is the first result), the letters of results and operands, and its meaning.

    `effects`: it writes memory or must not be moved. `touches`: the memory that it reads or writes
    at its first operand, and how many bytes.
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
        """Its meaning, so that device functions can be called from Python."""
        return self.meaning(*operands)

    @property
    def constraints(self) -> str:
        letters = {"i": "r", "l": "l", "f": "f", "d": "d"}
        outs = [f"={letters[one]}" for one in self.results]
        clobbers = ["~{memory}"] if self.effects else []
        return ",".join([*outs, *(letters[one] for one in self.operands), *clobbers])


Declare = Callable[[Callable[..., Any]], Intrinsic]


def intrinsic(assembly: Assembly, signature: str, **more: Any) -> Declare:
    """`signature`: the letters of results, a colon, those of operands."""
    results, operands = signature.split(":")

    def declare(meaning: Callable[..., Any]) -> Intrinsic:
        name = meaning.__name__
        return Intrinsic(name, assembly, results, operands, meaning, **more)

    return declare


def collective(assembly: Assembly, signature: str) -> Declare:
    return intrinsic(assembly, signature, kind="collective")


def load(assembly: str, signature: str, size: int, space: Space = "global") -> Declare:
    return intrinsic(assembly, signature, touches=(space, size), effects=space == "shared")


def store(assembly: str, signature: str, size: int, space: Space = "global") -> Declare:
    return intrinsic(assembly, signature, touches=(space, size), effects=True)


def wrapped(number: int) -> int:
    """Wrapped to int32."""
    return (int(number) + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def as_bytes(word: int) -> tuple[int, int, int, int]:
    """The four signed bytes of a word."""
    return struct.unpack("<4b", struct.pack("<i", wrapped(word)))  # type: ignore[return-value]


def as_halves(word: int) -> tuple[float, float]:
    return struct.unpack("<2e", struct.pack("<i", wrapped(word)))  # type: ignore[return-value]


# --- casts


@dataclass(frozen=True, slots=True)
class Cast:
    """`i32(x)` and `f32(x)`; also the element types of `local.array`."""

    letter: Literal["i", "f"]

    def __call__(self, number: Any) -> Any:
        return wrapped(int(number)) if self.letter == "i" else np.float32(number)


i32, f32 = Cast("i"), Cast("f")


class Local:
    """Arrays of a thread, of constant size: they become registers."""

    @staticmethod
    def array(size: int, kind: Cast) -> list[Any]:
        """Unwritten elements are NaN, or an unlikely number."""
        return [np.float32(math.nan) if kind.letter == "f" else 0x7BAD7BAD] * size


local = Local()
