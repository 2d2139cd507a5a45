"""Products on the card: every format and every kernel gives the same bits, near the definition."""

import numpy as np
import pytest
from emulated import open_with_all_kernels
from test_operators import weight

from ops.cuda.device.device import Launch
from ops.cuda.kernels.formats.weights import PANELS
from ops.cuda.kernels.products.epilogue import GATES, PLAIN
from ops.cuda.lowering.placing import Placing
from ops.cuda.lowering.products import NO_MATRIX, ExpertRows, Matrix, Product, kernels_of
from ops.interface import Weight
from ops.reference.arithmetic import rounded_to_bytes, rounded_to_halves
from ops.reference.operators import Reference
from quant.format import dequantize

pytestmark = pytest.mark.emulated
RANDOM = np.random.default_rng(5)
ROWS, COLUMNS = 40, 512  # a panel and a part of one; more units than some chains have
SUMS = 2e-6  # of the largest value: sums of float32 in another order


class Bench:
    """A card with weights and activations on it."""

    def __init__(self, *weights: Weight, falling: bool = False) -> None:
        self.card = open_with_all_kernels(falling=falling)
        self._placing = Placing(self.card)
        self._placed = [self._placing.matrix(w) for w in weights]
        self._weights = weights
        self._placing.fetch()

    def matrix(self, n: int = 0, **more: int) -> Matrix:
        placed, w = self._placed[n], self._weights[n]
        where = self._placing.address(placed)
        sizes = placed.panel_bytes, placed.matrix_bytes, placed.blocks, w.columns, w.rows
        own = {"bias": 0, "factor": 0} | more
        return Matrix(placed.kind, where, own["bias"], own["factor"], *sizes, w.experts)

    def put(self, values: np.ndarray) -> int:
        address = self.card.allocate(values.nbytes)
        self.card.upload(address, values)
        return address

    def activations(self, x: np.ndarray, kind: str) -> int:
        """As products of a kind take them."""
        plain = self.put(x)
        if kind not in PANELS:
            return plain
        rows, columns = x.shape
        packed = self.card.allocate(rows * columns * 3 // 2)
        grid = (-(-columns // 256), rows, 1)
        self.card.launch(Launch("quantize", grid, 256, (plain, packed, columns)))
        return packed

    def product(self, count: int, **more) -> np.ndarray:
        """y of a product, by the launches that its own rules choose."""
        first = self.matrix()
        y = self.card.allocate(4 * count * first.rows)
        self.card.upload(y, np.full(count * first.rows, np.nan, np.float32))
        for launch in Product(first, y=y, count=count, **more).launches():
            self.card.launch(launch)
        return self.get(y, (count, first.rows))

    def get(self, address: int, shape: tuple[int, ...]) -> np.ndarray:
        values = np.empty(shape, np.float32)
        self.card.download(address, values)
        return values


def rounded(kind: str, x: np.ndarray) -> np.ndarray:
    """Activations as they meet a weight of this form."""
    if kind in PANELS:
        return rounded_to_bytes(x)
    return x if kind == "F32" else rounded_to_halves(x)


def few(bench: Bench, matrix: Matrix, x: int, count: int, columns: int) -> np.ndarray:
    """By the kernel for so many columns."""
    y = bench.card.allocate(4 * count * matrix.rows)
    bench.card.launch(Product(matrix, NO_MATRIX, x, y, count).few_by(columns))
    return bench.get(y, (count, matrix.rows))


def many(bench: Bench, matrix: Matrix, x: int, count: int) -> np.ndarray:
    y = bench.card.allocate(4 * count * matrix.rows)
    bench.card.launch(Product(matrix, NO_MATRIX, x, y, count)._many(matrix, PLAIN))
    return bench.get(y, (count, matrix.rows))


@pytest.mark.parametrize("kind", [*PANELS, "F16"])
@pytest.mark.parametrize("columns", [COLUMNS, 256])
def test_a_row_has_the_same_bits_in_every_kernel(kind, columns):
    w, x = weight(ROWS, columns, kind), RANDOM.standard_normal((9, columns)).astype(np.float32)
    bench = Bench(w)
    matrix, at = bench.matrix(), bench.activations(x, kind)
    results = [many(bench, matrix, at, 9)]
    for name in kernels_of(kind, gated=False):
        *_, taken = name.split("_")
        if taken != "many":
            results.append(few(bench, matrix, at, 9, int(taken)))
    want = rounded(kind, x) @ dequantize(w.format, w.data).T
    np.testing.assert_allclose(results[0], want, atol=SUMS * np.abs(want).max(), rtol=0)
    assert len(results) > 1
    for other in results[1:]:
        assert results[0].tobytes() == other.tobytes()


@pytest.mark.parametrize("kind", ["BF16", "Q4_1", "Q5_0", "Q3_K", "TQ2_0", "F32"])
def test_other_formats_are_converted(kind):
    w, x = weight(33, 256, kind), RANDOM.standard_normal((2, 256)).astype(np.float32)
    bench = Bench(w)
    held = bench.matrix().kind
    got = bench.product(2, second=bench.matrix(), x=bench.activations(x, held))
    exact = dequantize(w.format, w.data)
    assert held == ("F32" if kind == "F32" else "F16")
    as_held = exact if held == "F32" else rounded_to_halves(exact)
    want = rounded(held, x) @ as_held.T
    np.testing.assert_allclose(got, want, atol=SUMS * np.abs(want).max(), rtol=0)
    np.testing.assert_allclose(as_held, exact, rtol=2**-11, atol=2**-24)  # float16's steps


@pytest.mark.parametrize("kind", ["Q8_0", "Q5_K", "Q6_K", "F16", "F32"])
@pytest.mark.parametrize("count", [1, 3, 34])
@pytest.mark.parametrize("gate", GATES)
def test_gates_biases_factors_and_sums(kind, count, gate):
    gates, ups = weight(5, 256, kind), weight(5, 256, kind)
    x = RANDOM.standard_normal((count, 256)).astype(np.float32) / 16
    bias, factor = RANDOM.standard_normal(5).astype(np.float32), np.float32([0.7])
    residual = RANDOM.standard_normal((count, 5)).astype(np.float32)
    bench = Bench(gates, ups)
    parts = {"bias": bench.put(bias), "factor": bench.put(factor)}
    at, added = bench.activations(x, bench.matrix().kind), bench.put(residual)
    second, gated = bench.matrix(1, **parts), GATES[gate]
    got = bench.product(count, second=second, x=at, gate=gated)
    entering = rounded(kind, x)
    g = entering @ dequantize(gates.format, gates.data).T
    u = entering @ dequantize(ups.format, ups.data).T * factor + bias
    want = Reference.gate(None, g, u, gate)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max(), rtol=1e-5)
    got = bench.product(count, second=second, x=at, added=added)
    np.testing.assert_allclose(got, g + residual, atol=1e-5 * np.abs(g).max(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["Q4_0", "F16", "F32"])
def test_experts_one_by_one_and_together(kind):
    experts, used, tokens = 3, 2, 5
    w = weight(33, 64, kind, experts)
    x = RANDOM.standard_normal((tokens, 64)).astype(np.float32)
    ids = np.array([[0, 2], [2, 1], [2, 0], [1, 2], [0, 2]], np.int32)
    flat = ids.reshape(-1)
    order = np.argsort(flat, kind="stable").astype(np.int32)
    starts = np.searchsorted(flat[order], np.arange(experts + 1)).astype(np.int32)
    bench = Bench(w)
    addresses = [bench.put(values) for values in (ids, order, starts)]
    chosen, matrix = ExpertRows(*addresses, tokens, used), bench.matrix()
    product = Product(
        matrix, matrix, bench.activations(x, kind), bench.card.allocate(4 * 330), 10, chosen=chosen
    )
    results = []
    ways = [product._singles] if kind == "F32" else [product._few, product._many]
    for way in ways:
        bench.card.launch(way() if way == product._few else way(matrix, 0))
        results.append(bench.get(product.y, (10, 33)))
    values = dequantize(w.format, w.data).reshape(experts, 33, 64)
    each = np.repeat(rounded(kind, x), used, 0)
    want = np.stack([values[e] @ row for e, row in zip(flat, each, strict=True)])
    np.testing.assert_allclose(results[0], want, atol=SUMS * np.abs(want).max(), rtol=0)
    assert len({result.tobytes() for result in results}) == 1


@pytest.mark.parametrize("kind", [*PANELS, "F16"])
def test_the_order_of_warps_does_not_matter(kind):
    """A barrier that is missing shows here."""
    w, x = weight(ROWS, 256, kind), RANDOM.standard_normal((2, 256)).astype(np.float32)
    results = []
    for falling in (False, True):
        bench = Bench(w, falling=falling)
        results.append(bench.product(2, second=bench.matrix(), x=bench.activations(x, kind)))
    assert results[0].tobytes() == results[1].tobytes()
