"""Launches of products: chooses the kernel by the number of rows."""

from collections.abc import Iterator
from dataclasses import dataclass

from ops.cuda.device.device import Launch
from ops.cuda.kernels.formats.weights import PANEL_ROWS
from ops.cuda.kernels.intrinsics.kernel import operands_of
from ops.cuda.kernels.operands import (
    FewProduct,
    JoinedOutputs,
    ManyProduct,
    MatrixPlace,
    PanelShape,
    SingleProduct,
)
from ops.cuda.kernels.products import floats, packed
from ops.cuda.kernels.products.epilogue import PLAIN
from ops.cuda.kernels.products.few import CHAINS, COLUMN_BYTES, FEW_THREADS
from ops.cuda.kernels.products.floats import F32_ROWS, F32_THREADS
from ops.cuda.kernels.products.many import MANY_THREADS, TILE_BYTES, TILE_ROWS, TILE_TOKENS

FEW_ROWS = 32
"""The most rows of y for the kernels for few rows, with several thread blocks along x: blocks that
run together read the same weights from the L2 cache, and 16 warps share each row of a panel."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A product's weight, with the addresses of its bias and its factor (0: none)."""

    kind: str
    weight: int
    bias: int
    factor: int
    panel_bytes: int
    matrix_bytes: int
    blocks: int  # of 32 columns
    columns: int
    rows: int
    experts: int = 1

    @property
    def place(self) -> MatrixPlace:
        return MatrixPlace(self.weight, self.bias, self.factor)

    @property
    def shape(self) -> PanelShape:
        return PanelShape(self.panel_bytes, self.matrix_bytes, self.blocks, self.rows)


NO_MATRIX = Matrix("", 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ExpertRows:
    """Addresses of each row's expert and of the rows grouped by expert."""

    ids: int
    order: int
    starts: int
    tokens: int
    rows_per_x: int


NO_EXPERTS = ExpertRows(0, 0, 0, 0, 1)


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """Consecutive rows of a joined matrix, and the address of their output."""

    y: int
    rows: int


NO_ROWS = JoinedRows(0, 0)


@dataclass(frozen=True, slots=True)
class Product:
    """y = W x (+ added); with a second matrix y = gate(W x) · W' x."""

    first: Matrix
    second: Matrix
    x: int
    y: int
    count: int  # rows of y
    gate: int = PLAIN
    added: int = 0
    chosen: ExpertRows = NO_EXPERTS
    quantized: int = 0  # written instead of y, if there is one launch
    parts: tuple[JoinedRows, ...] = ()  # outputs of a joined matrix

    @property
    def one_launch(self) -> bool:
        """Whether a single launch is enough."""
        return self.first.kind != "F32" and self.count <= FEW_ROWS

    def launches(self) -> Iterator[Launch]:
        """For many rows the two matrices take a launch each: the first writes the gate to y."""
        if self.one_launch:
            yield self._few()
            return
        one = self._singles if self.first.kind == "F32" else self._many
        yield one(self.first, PLAIN)
        if self.gate != PLAIN:
            yield one(self.second, self.gate)

    def _few(self) -> Launch:
        known = columns_of(self.first.kind)
        if self.chosen.ids:
            return self.few_by(known[0])
        return self.few_by(next((n for n in known if n >= self.count), known[-1]))

    def few_by(self, columns: int) -> Launch:
        """With the kernel that takes `columns` rows of y at once."""
        matrix, gated = self.first, self.gate != PLAIN
        blocks = self.count if self.chosen.ids else _up(self.count, columns)
        record = FewProduct(
            matrix=matrix.place,
            up=self.second.place,
            shape=matrix.shape,
            x=self.x,
            rows_per_x=self.chosen.rows_per_x,
            count=self.count,
            ids=self.chosen.ids,
            gate=self.gate,
            added=self.added,
            quantized=self.quantized,
            outputs=self._outputs(),
        )
        return Launch(
            f"{'gated_' * gated}linear_{matrix.kind}_{columns}",
            (blocks, _up(matrix.rows, PANEL_ROWS), 1),
            FEW_THREADS,
            operands_of(record),
            CHAINS * COLUMN_BYTES * columns * (1 + gated),
        )

    def _outputs(self) -> JoinedOutputs:
        if not self.parts:
            return JoinedOutputs(self.y, 0, 0, rows_first=self.first.rows, rows_second=0)
        first, second, third = (*self.parts, NO_ROWS)[:3]
        return JoinedOutputs(first.y, second.y, third.y, first.rows, second.rows)

    def _many(self, matrix: Matrix, gate: int) -> Launch:
        """An expert gets each token at most once."""
        chosen = self.chosen
        most = chosen.tokens if chosen.order else self.count
        record = ManyProduct(
            matrix=matrix.place,
            shape=matrix.shape,
            x=self.x,
            rows_per_x=chosen.rows_per_x,
            count=self.count,
            order=chosen.order,
            starts=chosen.starts,
            gate=gate,
            added=self.added,
            y=self.y,
        )
        return Launch(
            f"linear_{matrix.kind}_many",
            (_up(most, TILE_TOKENS), _up(matrix.rows, TILE_ROWS), matrix.experts),
            MANY_THREADS,
            operands_of(record),
            TILE_BYTES,
        )

    def _singles(self, matrix: Matrix, gate: int) -> Launch:
        record = SingleProduct(
            matrix=matrix.place,
            matrix_bytes=matrix.matrix_bytes,
            columns=matrix.columns,
            rows=matrix.rows,
            x=self.x,
            rows_per_x=self.chosen.rows_per_x,
            ids=self.chosen.ids,
            gate=gate,
            added=self.added,
            y=self.y,
        )
        grid = (_up(matrix.rows, F32_ROWS), self.count, 1)
        return Launch("linear_F32", grid, F32_THREADS, operands_of(record))


def columns_of(kind: str) -> tuple[int, ...]:
    """Rows of y per thread block, for each kernel for few rows."""
    return (floats.COLUMNS,) if kind == "F16" else packed.COLUMNS


def kernels_of(kind: str, *, gated: bool) -> Iterator[str]:
    """All kernels that products with weights of a kind may need."""
    if kind == "F32":
        yield "linear_F32"
        return
    yield f"linear_{kind}_many"
    for columns in columns_of(kind):
        yield f"{'gated_' * gated}linear_{kind}_{columns}"


def _up(number: int, divisor: int) -> int:
    return -(-number // divisor)
