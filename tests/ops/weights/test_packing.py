"""Packed weights: panels hold the file's bits, and mapped pages are given back only where safe."""

import mmap

import numpy as np
import pytest
from passes import resources

from ops.cpu.executor import Executor
from ops.cpu.formats import kernel_formats
from ops.cpu.layout import PANEL_ROWS
from ops.cpu.objects import ObjectStore
from ops.cpu.records import Record
from ops.cpu.weights.packing import Packing
from ops.interface import Weight
from quant.format import FORMATS, row_bytes

RANDOM = np.random.default_rng(8)


def pack(weight: Weight, threads: int = 3) -> np.ndarray:
    """(matrices, panels, bytes a panel) as the kernels see it."""
    packing = Packing()
    packed = packing.place(weight)
    limits = resources(threads)
    store = ObjectStore(limits.kernels, limits.on_compile)
    records = [(name, Record(operands)) for name, operands in packing.calls()]
    program = np.array([(store.address(k), r.address, 1) for k, r in records], np.int64)
    executor = Executor(store, threads)
    executor.run((program.ctypes.data, np.zeros(8, np.int64).ctypes.data, len(program)))
    executor.close()
    size = packed.matrix_bytes * weight.experts
    view = packed.stretch.area.memory
    start = packing.address(packed) - view.ctypes.data
    return view[start : start + size].reshape(weight.experts, -1, packed.panel_bytes).copy()


def unpack(panels: np.ndarray, weight: Weight) -> np.ndarray:
    """The inverse, field by field: (matrices, rows, bytes a row)."""
    pairs = weight.format.name == "BF16"  # of columns are its unit
    block, experts = np.dtype("<u4") if pairs else weight.format.block, weight.experts
    blocks = row_bytes(weight.format, weight.columns) // block.itemsize
    parts = panels.reshape(experts, -1, blocks, PANEL_ROWS * block.itemsize)
    rows = np.empty((experts, parts.shape[1], PANEL_ROWS, blocks, block.itemsize), np.uint8)
    fields = [block.fields[name][0] for name in block.names] if block.fields else [block]
    at = 0
    for field in fields:
        size = field.itemsize
        unit = next(u for u in (4, 2, 1) if size % u == 0)
        part = parts[..., PANEL_ROWS * at : PANEL_ROWS * (at + size)]
        part = part.reshape(experts, -1, blocks, size // unit, PANEL_ROWS, unit)
        rows[..., at : at + size] = np.moveaxis(part, 4, 2).reshape(*rows.shape[:-1], size)
        at += size
    return rows.reshape(experts, -1, blocks * block.itemsize)


def random_weight(kind: str, rows: int, experts: int = 1) -> Weight:
    columns = 512
    shape = experts * rows, row_bytes(FORMATS[kind], columns)
    data = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    return Weight("w", FORMATS[kind], columns, data, experts)


@pytest.mark.parametrize("kind", sorted(kernel_formats()))
@pytest.mark.parametrize(("rows", "experts"), [(1, 1), (16, 1), (37, 1), (20, 3)])
def test_a_panel_holds_the_rows_of_the_file_and_zeros(kind, rows, experts):
    weight = random_weight(kind, rows, experts)
    got = unpack(pack(weight), weight)
    want = weight.data.reshape(experts, rows, -1)
    np.testing.assert_array_equal(got[:, :rows], want)
    np.testing.assert_array_equal(got[:, rows:], 0)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_packs_the_same(threads):
    weight = random_weight("Q4_K", 100)
    np.testing.assert_array_equal(pack(weight, threads), pack(weight, 1))


@pytest.mark.parametrize(("rows", "experts"), [(100, 1), (5, 7), (40, 3)])
@pytest.mark.parametrize("size", [1, 3000, 50_000])
def test_slices_come_together_as_the_whole(monkeypatch, rows, experts, size):
    weight = random_weight("Q6_K", rows, experts)
    whole = pack(weight)
    monkeypatch.setattr("ops.cpu.weights.packing.SLICE", size)
    np.testing.assert_array_equal(pack(weight), whole)


def test_weights_that_are_no_file_are_left_alone():
    weight = random_weight("Q8_0", 4096)
    before = weight.data.copy()
    pack(weight)
    np.testing.assert_array_equal(weight.data, before)


def test_a_mapped_file_can_be_read_again_after_packing(tmp_path):
    weight = random_weight("Q8_0", 4096)
    path = tmp_path / "weights"
    path.write_bytes(weight.data.tobytes())
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(mapped, np.uint8).reshape(weight.data.shape)
    copy = Weight("w", weight.format, weight.columns, data)
    np.testing.assert_array_equal(pack(copy), pack(weight))
    np.testing.assert_array_equal(data, weight.data)


def test_the_same_tensor_is_packed_once():
    packing, weight = Packing(), random_weight("Q4_0", 64)
    assert packing.place(weight) is packing.place(weight)
    other = weight.part(16, 32)
    assert packing.place(other) is not packing.place(weight)
