"""Kernels in two shapes: the same bytes, and the faster one by a measurement that is noted once."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from passes import resources
from test_tiles import check, dense, experts

from ops.compiled.kernel_folder import KernelFolder
from ops.cpu import findings
from ops.cpu.formats import TWO_SHAPES, UNPACKED
from ops.cpu.instruction_sets.avx2 import AVX2
from ops.cpu.lower import Lowering
from ops.cpu.measures import shapes
from ops.cpu.objects import SHAPES, ObjectStore
from ops.cpu.rules.table import lower
from ops.cpu.runner import fused_for_cpu
from ops.cpu.weights.packing import Packing
from ops.memory_plan import Limits
from ops.recorder import record
from ops.state.layout import StateLayout
from quant.errors import LeptonError

FEW, MANY = (1, 6, 31), (32, 40, 71)  # tokens
STORED = {"linear_Q4_0", "gated_linear_Q4_0_silu", "linear_Q8_0", "linear_Q4_K", "rope"}


def store(folder=None) -> ObjectStore:
    allowed = resources()
    return ObjectStore(folder or allowed.kernels, allowed.on_compile)


@pytest.fixture
def told(tmp_path, monkeypatch) -> SimpleNamespace:
    """A store in which kernels are never compiled, and what it was asked."""
    asked = SimpleNamespace(store=store(tmp_path), prepared=[], measured=[])
    monkeypatch.setattr(ObjectStore, "stored", lambda self: STORED)
    monkeypatch.setattr(ObjectStore, "prepare", lambda self, names: asked.prepared.extend(names))

    def gain(kernels, kind):
        asked.measured.append(kind)
        return {"Q4_0": 1.25}.get(kind, 0.9)

    monkeypatch.setattr(shapes, "gain", gain)
    return asked


def test_the_faster_shape_is_noted_and_its_kernels_are_compiled(told, tmp_path):
    assert shapes.choose_shapes(told.store) == {"Q4_0": 1.25}
    assert told.measured == ["Q4_0", "Q8_0"]  # Q4_K has one shape
    more = {f"{name}{UNPACKED}" for name in STORED if "Q4_0" in name}
    assert set(told.prepared) >= more and f"gated_linear_Q8_0_silu{UNPACKED}" not in told.prepared
    later = store(tmp_path)
    assert later.unpacked == {"Q4_0"} and later.ratios == {"Q4_0": 1.25, "Q8_0": 0.9}
    assert shapes.choose_shapes(later) == {} and told.measured == ["Q4_0", "Q8_0"]


def test_a_note_that_cannot_be_read_or_trusted_leaves_the_first_shape(tmp_path):
    cache = store(tmp_path)._cache
    assert store(tmp_path).unpacked == frozenset()
    assert cache.write_note(SHAPES, "Q4_0 fast\nQ8_0 1.2.3\n\0\nQ4_1 1.500\nQ5") is None
    assert store(tmp_path).unpacked == {"Q4_1"}
    os.chmod(cache.folder / SHAPES, 0o666)
    assert store(tmp_path).unpacked == frozenset()


def test_the_doctor_tells_what_was_chosen(tmp_path):
    cache = store(tmp_path)._cache
    cache.write_note(SHAPES, "Q4_0 1.200\nQ8_0 0.990\n")
    (cache.folder / "rope.kernel").write_bytes(b"code")
    assert str(findings._kernels(tmp_path)).endswith("unpacked once for many tokens: Q4_0)")


def test_a_measurement_that_cannot_be_stored_is_an_error(told, monkeypatch):
    lost = LeptonError("kernels cannot be stored", "free some space")
    monkeypatch.setattr(KernelFolder, "write_note", lambda self, name, text: lost)
    with pytest.raises(LeptonError, match="cannot be stored"):
        shapes.choose_shapes(told.store)


@pytest.mark.parametrize("unpacked", [set(), {"Q4_0"}])
def test_products_of_a_format_have_the_shape_that_is_noted(unpacked):
    program = fused_for_cpu(record(dense("Q4_0")), AVX2)
    lowering = Lowering(StateLayout.of(program, "f32", "f32"), Limits(4, 4), Packing(), unpacked)
    *_, product = (lower(lowering, operation).kernel for operation in program.operations)
    assert product == "linear_Q4_0" + (UNPACKED if unpacked else "")


def of_both(kind: str) -> tuple[ObjectStore, ObjectStore]:
    """Stores whose products of the format have the first shape, and the second."""
    first, second = store(), store()
    first.ratios, second.ratios = {}, {kind: 2.0}
    return first, second


def test_a_product_in_the_second_shape_gives_the_same_bytes():
    check(of_both("Q8_0"), dense("Q8_0"), (31, 40))


@pytest.mark.weekly
@pytest.mark.parametrize("kind", sorted(TWO_SHAPES))
def test_both_shapes_give_the_same_bytes(kind):
    both = of_both(kind)
    check(both, dense(kind), (*FEW, *MANY))
    check(both, experts(kind), (*FEW, 90))
    assert f"linear_{kind}{UNPACKED}" in both[1]._addresses


def test_both_shapes_are_measured_by_the_same_product():
    kernels, product, results = store(), shapes._Product("Q8_0"), []
    names = [f"linear_Q8_0{shape}" for shape in ("", UNPACKED)]
    kernels.prepare(names)
    _, _, y, _ = product._arrays
    for name in names:
        y[:] = 0
        product.run(kernels.address(name))()
        results.append(y.view(np.float32).copy())
    assert np.count_nonzero(results[0]) == shapes.ROWS * shapes.TOKENS
    np.testing.assert_array_equal(*results)


def test_the_gain_is_the_ratio_of_the_fastest_runs(monkeypatch):
    seconds = iter([6.0, 5.0, 3.0, 1.5, 4.0, 2.0] + [9.0, 9.0] * (shapes.ROUNDS - 3))
    monkeypatch.setattr(shapes, "_seconds", lambda run: next(seconds))
    assert shapes.gain(store(), "Q8_0") == 2.0
