"""Operands for intrinsics, and what an intrinsic's `meaning` gives for each lane's."""

import struct

import numpy as np
from emulator_lanes import WARP

from ops.cuda.kernels.intrinsics.primitives import Intrinsic

RANDOM = np.random.default_rng(3)
BLOCKS = 8
LANES = BLOCKS * WARP
INTS = [0, 1, -1, 127, -128, 0x7FFFFFFF, -0x80000000, 0x0F0F0F0F, 0x64646464, -0x7F7F7F80]
FLOATS = [0.0, -0.0, 1.0, -1.5, 2.5, 65504.0, 65520.0, 1e-8, 1e-40, 3e38, -3e38]
TYPES = {"f": np.float32, "d": np.float64}
ENDLESS = [np.inf, -np.inf, np.nan]


def draw(letter: str, name: str, place: int) -> np.ndarray:
    """Operand `place` of an intrinsic, hard values first."""
    if letter in TYPES:
        values = RANDOM.standard_normal(LANES) * 10.0 ** RANDOM.integers(-6, 6, LANES)
        edges = FLOATS[:-2] if name in ("nearest", "cos_sin") else FLOATS + ENDLESS
    else:
        values = RANDOM.integers(-(2**31), 2**31, LANES)
        edges = INTS
    values[: 2 * len(edges)] = RANDOM.permutation(edges * 2)
    return values.astype(TYPES[letter]) if letter in TYPES else limited(values, name, place)


def limited(values: np.ndarray, name: str, place: int) -> np.ndarray:
    """What the intrinsic allows."""
    if name in ("shift_left", "shift_right", "bits", "signed_bits") and place == 1:
        return values % (32 if name.startswith("shift") else 24)
    if name in ("bits", "signed_bits") and place == 2:
        return 1 + values % 8
    if name == "permute" and place == 2:
        return values & 0x7777
    if name in ("quotient", "remainder"):
        return (values & 0x7FFFFFFF) + place
    if name.startswith("shuffle") and place == 1:
        one = 1 if name.startswith("shuffle_xor") else LANES
        return np.resize(values[:one] % WARP, LANES)
    return values


def packed(values, letters: str) -> list[bytes]:
    """The bits of each lane's results, all that is no number being one."""
    values = values if len(letters) > 1 else [values]
    columns = [
        np.broadcast_to(np.asarray(one, TYPES.get(letter, np.int64)), LANES)
        for one, letter in zip(values, letters, strict=True)
    ]
    lanes = zip(*(column.tolist() for column in columns), strict=True)
    return [b"".join(bits(one) for one in lane) for lane in lanes]


def bits(number) -> bytes:
    return struct.pack("<d", number) if number == number else b"no number"


def threads_of(operands) -> list[tuple]:
    """What each thread has of vectors and numbers."""
    whole = [np.broadcast_to(one, LANES) for one in operands]
    return [
        tuple(v[n] if v.dtype == np.float32 else v[n].item() for v in whole) for n in range(LANES)
    ]


def expected(instruction: Intrinsic, operands) -> list[bytes]:
    with np.errstate(all="ignore"):
        if instruction.kind == "collective":
            given = threads_of(operands)
            found = [
                one
                for n in range(0, LANES, WARP)
                for one in instruction.meaning(given[n : n + WARP])
            ]
        else:
            found = [instruction.meaning(*one) for one in threads_of(operands)]
    columns = list(zip(*found, strict=True)) if len(instruction.results) > 1 else found
    return packed(columns, instruction.results)
