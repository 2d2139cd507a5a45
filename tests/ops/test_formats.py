"""Formats with kernels: found by their files; a hand-tuned block gives the same bytes."""

import ctypes
import os
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from make_gguf import random_weights
from passes import few

from ops.cpu import formats
from ops.cpu.compiling import aim
from ops.cpu.formats import kernel_formats, quantized_formats
from ops.cpu.kernels.formats.panels import block_panel, prefetch_of
from ops.cpu.kernels.formats.parts import NEXT_PANEL, PART, Parts
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.addresses import pair, row
from ops.cpu.kernels.simd.compiler import c_function
from ops.cpu.kernels.simd.operations import first_panel, second_panel, store
from ops.cpu.layout import ACTIVATION_BYTES, PANEL_ROWS, PART_BYTES, UNPACKED_BYTES
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung
from quant.format import FORMATS

RANDOM = np.random.default_rng(14)
KERNELS = {name: import_module(module).KERNELS for name, module in kernel_formats().items()}
WITH_BLOCK = [
    name
    for name, kernels in KERNELS.items()
    if isinstance(kernels, Quantized) and kernels.block is not None
]
COLUMNS = 512


def test_a_formats_file_holds_the_kernels_of_the_format_that_it_is_named_after():
    assert all(kernels.format is FORMATS[name] for name, kernels in KERNELS.items())
    quantized = {name for name, kernels in KERNELS.items() if isinstance(kernels, Quantized)}
    assert quantized == quantized_formats()


def test_a_file_named_after_a_format_is_all_that_the_host_needs(tmp_path, monkeypatch):
    (tmp_path / "ternary").mkdir()
    for name in ("tq2_0", "shared_steps", "__init__"):
        (tmp_path / "ternary" / f"{name}.py").touch()
    monkeypatch.setattr(formats, "FOLDER", tmp_path)
    found = kernel_formats.__wrapped__()
    assert found == {"TQ2_0": "ops.cpu.kernels.formats.ternary.tq2_0"}


def activations(columns: int) -> np.ndarray:
    """As layout.py draws them; the sums need not be right, as both ways take the same."""
    fields = [("q", np.int8, 32), ("floats", np.float32, 2), ("sum", np.int32, 3)]
    kind = np.dtype([*fields, ("halves", np.float32, 2), ("", np.int32)])
    assert kind.itemsize == ACTIVATION_BYTES
    x = np.zeros(columns // PART, kind)
    x["q"] = RANDOM.integers(-127, 128, x["q"].shape)
    x["sum"] = RANDOM.integers(-4000, 4000, x["sum"].shape)
    for field in ("floats", "halves"):
        x[field] = RANDOM.standard_normal(x[field].shape)
    return x


@pytest.mark.parametrize("kind", WITH_BLOCK)
def test_a_block_at_once_gives_the_same_bytes_as_its_levels_and_factors(kind):
    kernels = KERNELS[kind]
    at_once, parts = block_panel(kernels), Parts(replace(kernels, block=None))
    by_parts, unpack, add_unpacked = parts.panel, parts.unpack, parts.add
    count = COLUMNS // PART

    def both(w, size, x, scratch, out):
        panels, token = pair(w, w + size), row(x)
        total = at_once(panels, token, COLUMNS, prefetch_of(0, 1, size, size))
        store(out, first_panel(total))
        store(out + 64, second_panel(total))
        total = by_parts(panels, token, COLUMNS, prefetch_of(0, 1, size, size))
        store(out + 128, first_panel(total))
        store(out + 192, second_panel(total))
        unpack(panels, 0, count, pair(scratch, scratch + NEXT_PANEL))
        add_unpacked(scratch, count, token, 0, row(out + 256), True)

    blocks, block_bytes = COLUMNS // kernels.format.block_size, kernels.format.block_bytes
    size = PANEL_ROWS * blocks * block_bytes  # of a panel
    w = RANDOM.integers(0, 256, (2 * blocks, PANEL_ROWS * block_bytes), dtype=np.uint8)
    w[:, :64] &= 0x3F  # scales and minima that are finite
    x, out = activations(COLUMNS), np.zeros((3, 2, PANEL_ROWS), np.float32)
    scratch = np.zeros(UNPACKED_BYTES, np.uint8)
    aim(choose_rung(host_features(), os.environ))
    function = c_function(both, 5)
    places = [array.ctypes.data for array in (w, x, scratch, out)]
    places.insert(1, size)
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)(function.address)(*places)
    assert np.isfinite(out).all() and out.any()
    np.testing.assert_array_equal(out[1], out[0])
    np.testing.assert_array_equal(out[2], out[0])


def packed(rows: np.ndarray, kernels: Quantized) -> np.ndarray:
    """16 rows of bytes as a panel (records.py), field by field."""
    block = kernels.format.block
    blocks, panel, offset = rows.reshape(PANEL_ROWS, -1, block.itemsize), [], 0
    for name in block.names:
        size = block.fields[name][0].itemsize
        unit = next(unit for unit in (4, 2, 1) if size % unit == 0)
        field = blocks[:, :, offset : offset + size].reshape(*blocks.shape[:2], -1, unit)
        panel.append(field.transpose(1, 2, 0, 3).reshape(blocks.shape[1], -1))
        offset += size
    return np.concatenate(panel, axis=1)


def unpacked_weights(kernels: Quantized, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(16, COLUMNS) twice: by the levels and factors of a panel, and row by row."""
    unpack, dequantize, count = Parts(kernels).unpack, kernels.dequantize, COLUMNS // PART
    size, block_bytes = kernels.format.block_size, kernels.format.block_bytes

    def both(panel, scratch, source, out):
        unpack(pair(panel, panel), 0, count, pair(scratch, scratch + NEXT_PANEL))
        for n in range(PANEL_ROWS * COLUMNS // size):
            dequantize(source + n * block_bytes, out + 4 * n * size)

    scratch, out = np.zeros(UNPACKED_BYTES, np.uint8), np.zeros((PANEL_ROWS, COLUMNS), np.float32)
    aim(choose_rung(host_features(), os.environ))
    function, panel = c_function(both, 4), packed(rows, kernels)
    places = [array.ctypes.data for array in (panel, scratch, rows, out)]
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(function.address)(*places)
    parts = scratch[: count * PART_BYTES].reshape(count, PART_BYTES)
    levels = parts[:, :512].reshape(count, 8, PANEL_ROWS, 4).transpose(2, 0, 1, 3)
    levels = levels.reshape(PANEL_ROWS, count, 2, 16).astype(np.float32)
    factors = parts[:, 512:].copy().view(np.float32).reshape(count, 2, 2, PANEL_ROWS)
    scales, minima = factors.transpose(1, 3, 0, 2)
    if kernels.scales == 1:
        scales, minima = scales[..., :1], minima[..., :1]
    if kernels.offset is None:
        weights = levels * scales[..., None] - minima[..., None]
    else:
        weights = (levels - np.float32(1 << kernels.offset)) * scales[..., None]
    return weights.reshape(PANEL_ROWS, -1), out


@pytest.mark.parametrize("kind", few(quantized_formats()))
def test_a_panel_and_a_row_hold_the_weights_of_the_file(kind):
    kernels = KERNELS[kind]
    rows = random_weights(kernels.format, (PANEL_ROWS, COLUMNS), 1.0, RANDOM)
    want = FORMATS[kind].dequantize(rows.reshape(-1).view(kernels.format.block))
    want = want.reshape(PANEL_ROWS, COLUMNS)
    by_panel, by_row = unpacked_weights(kernels, rows)
    np.testing.assert_array_equal(by_row, want)
    np.testing.assert_allclose(by_panel, want, rtol=1e-6, atol=1e-6)


def test_every_format_of_weights_has_kernels():
    """So no weight takes more memory than in its file."""
    assert {name for name, kind in FORMATS.items() if kind.dequantize} == set(kernel_formats())
