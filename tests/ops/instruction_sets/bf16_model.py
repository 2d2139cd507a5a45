"""Products of BF16, as VDPBF16PS and TDPBF16PS mean them, in NumPy; the first in LLVM, too.

Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from dataclasses import replace

import numpy as np
from model_kernels import ModelKernels

from ops.cpu.instruction_sets.llvm import constant, multiply_add, register
from ops.cpu.instruction_sets.rung import Builder, Value
from ops.cpu.kernels import IN_BF16
from ops.cpu.objects import ObjectStore
from ops.reference.arithmetic import rounded_to_bf16

SMALLEST = np.finfo(np.float32).smallest_normal


def dot_bf16(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    """By two fused multiply-adds: the same, but for numbers below 2^-126."""
    upper, sixteen = constant("i32", 0xFFFF0000), constant("i32", 16)

    def halves(pairs: Value) -> tuple[Value, Value]:
        both = builder.and_(pairs, upper), builder.shl(pairs, sixteen)
        second, first = (builder.bitcast(half, register("f32")) for half in both)
        return second, first

    for pair in zip(halves(weights), halves(x), strict=True):
        total = multiply_add(builder, *pair, total)
    return total


def bf16_kernels(store: ObjectStore) -> ModelKernels:
    """This machine's kernels, but products with weights in BF16 by the model."""
    rung = replace(store.rung, dot_bf16=dot_bf16, matrix_tile=None, multiply_pairs=None)
    return ModelKernels(store, rung, IN_BF16)


def _flushed(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < SMALLEST, np.copysign(np.float32(0), x), x)


def _fused(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a·b + c of float32, rounded once: the double sum is rounded to odd, then to nearest."""
    product, added = a.astype(np.float64) * b, c.astype(np.float64)  # the product is exact
    total = product + added
    virtual = total - product
    lost = (product - (total - virtual)) + (added - virtual)
    lost[~np.isfinite(total)] = 0
    bits = total.view(np.int64)
    towards = np.where((lost > 0) == (total > 0), 1, -1)
    odd = np.where((lost != 0) & (bits % 2 == 0), bits + towards, bits)
    return odd.view(np.float64).astype(np.float32)


def dot_pairs(total: np.ndarray, w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """total + w·x, of float32 whose last axis is a pair: the second product comes first."""
    w, x, total = _flushed(w), _flushed(x), _flushed(total)
    with np.errstate(over="ignore", invalid="ignore"):
        for n in (1, 0):
            total = _flushed(_fused(w[..., n], x[..., n], total))
    return total


def tile_product(sums: np.ndarray, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """sums + x·w, of (M, N), (M, 2K) and (2K, N): even and odd columns are summed apart."""
    x, w, sums = _flushed(x), _flushed(w), _flushed(sums)
    with np.errstate(over="ignore", invalid="ignore"):
        chains = [np.zeros_like(sums) for _ in range(2)]
        for k in range(x.shape[1]):
            total = chains[k % 2]
            chains[k % 2] = _flushed(_fused(x[:, k, None], w[None, k], total))
        return _flushed(sums + _flushed(chains[0] + chains[1]))


def tiled_product(w: np.ndarray, x: np.ndarray) -> np.ndarray:  # (R, N), (T, N) -> (T, R)
    """As kernels sum by tiles: weights that are one number in BF16, or two, as activations are.

    32 columns after the other, and of them the small products first.
    """
    pad = [(0, 0), (0, -w.shape[1] % 32)]
    w, x = np.pad(w, pad), np.pad(x, pad)
    high, near = (w.view(np.uint32) & 0xFFFF0000).view(np.float32), rounded_to_bf16(x)
    steps = [(near, high)]
    if (w != high).any():
        steps = [(rounded_to_bf16(x - near), high), (near, w - high), *steps]
    sums = np.zeros((len(x), len(w)), np.float32)
    for part in range(0, w.shape[1], 32):
        for some, weights in steps:
            sums = tile_product(sums, some[:, part : part + 32], weights[:, part : part + 32].T)
    return sums


def product(w: np.ndarray, x: np.ndarray) -> np.ndarray:  # (R, N), (T, N) -> (T, R)
    """As the kernels sum: pairs of columns in two chains, an odd last column with a zero."""
    whole, more = divmod(w.shape[1], 2)
    w, x = (np.pad(each, [(0, 0), (0, more)]).reshape(len(each), -1, 2) for each in (w, x))
    chains = [np.zeros((len(x), len(w)), np.float32) for _ in range(2)]
    for p in range(w.shape[1]):
        chain = 1 if p == whole else p % 2
        chains[chain] = dot_pairs(chains[chain], w[None, :, p], x[:, None, p])
    return chains[0] + chains[1]
