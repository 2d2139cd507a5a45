"""Launching products: which kernel for how many rows."""

from collections.abc import Iterator
from dataclasses import dataclass

from ops.cuda.device.device import Launch

PLAIN = 0
GATES = {"silu": 1, "gelu": 2, "clamped_swiglu": 3}
"""What kernels make of two products (kernels/results.py has the same numbers)."""

FEW = {"F16": (8,)}
FEW_OF_PANELS = (1, 4, 8)
"""Columns that the kernels for few rows take at once."""
FEW_ROWS = 32
"""Up to so many rows they are started several times over: thread blocks that run together read the
same weights, from the card's second cache, and each row of a panel is shared by 16 warps."""
PANEL_ROWS, CHAIN_THREADS, COLUMN_BYTES = 32, 512, 2048
TILE_ROWS, TILE_TOKENS, TILE_THREADS, TILE_SHARED = 64, 64, 128, 16384
SINGLE_ROWS, SINGLE_THREADS = 8, 256  # of float32: a warp a row


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


NOTHING = Matrix("", 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of y that have experts of their own: addresses of their ids and of their grouping."""

    ids: int
    order: int
    starts: int
    tokens: int
    rows_per_x: int


ALL = Chosen(0, 0, 0, 0, 1)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a joined matrix, and the address of their output."""

    y: int
    rows: int


NO_PART = Part(0, 0)


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
    chosen: Chosen = ALL
    quantized: int = 0  # instead of y, where one launch does it all
    parts: tuple[Part, ...] = ()  # where the rows of matrices go that are joined to one

    @property
    def at_once(self) -> bool:
        """Whether one launch does it all."""
        return self.first.kind != "F32" and self.count <= FEW_ROWS

    def launches(self) -> Iterator[Launch]:
        """Without a kernel for both matrices at once the first leaves the gate in y."""
        if self.at_once:
            yield self._few()
            return
        one = self._singles if self.first.kind == "F32" else self._many
        yield one(self.first, PLAIN)
        if self.gate != PLAIN:
            yield one(self.second, self.gate)

    def _few(self) -> Launch:
        matrix, up, chosen = self.first, self.second, self.chosen
        known = FEW.get(matrix.kind, FEW_OF_PANELS)
        columns = next((n for n in known if n >= self.count), known[-1])
        if chosen.ids:
            columns = known[0]
        at_once = 1 if chosen.ids else columns
        gated = self.gate != PLAIN
        parts = (*self.parts[1:], NO_PART, NO_PART)
        return Launch(
            f"{'gated_' * gated}linear_{matrix.kind}_{columns}",
            (_up(self.count, at_once), _up(matrix.rows, PANEL_ROWS), 1),
            CHAIN_THREADS,
            (
                *(matrix.weight, matrix.bias, matrix.factor),
                *(up.weight, up.bias, up.factor),
                *(matrix.panel_bytes, matrix.matrix_bytes),
                *(self.x, matrix.blocks, self.y, matrix.rows, self.count),
                *(self.added, self.gate, chosen.ids, chosen.rows_per_x, self.quantized),
                *(parts[0].y, parts[1].y),
                *(self.parts[0].rows if self.parts else matrix.rows, parts[0].rows),
            ),
            COLUMN_BYTES * columns * (1 + gated),
        )

    def _many(self, matrix: Matrix, gate: int) -> Launch:
        """An expert gets each token once at most."""
        chosen = self.chosen
        most = chosen.tokens if chosen.order else self.count
        return Launch(
            f"linear_{matrix.kind}_many",
            (_up(most, TILE_TOKENS), _up(matrix.rows, TILE_ROWS), matrix.experts),
            TILE_THREADS,
            (
                *(matrix.weight, matrix.bias, matrix.factor),
                *(matrix.panel_bytes, matrix.matrix_bytes),
                *(self.x, matrix.blocks, self.y, matrix.rows, self.count),
                *(self.added, gate, chosen.order, chosen.starts, chosen.rows_per_x),
            ),
            TILE_SHARED,
        )

    def _singles(self, matrix: Matrix, gate: int) -> Launch:
        return Launch(
            "linear_F32",
            (_up(matrix.rows, SINGLE_ROWS), self.count, 1),
            SINGLE_THREADS,
            (
                *(matrix.weight, matrix.bias, matrix.factor, matrix.matrix_bytes),
                *(self.x, matrix.columns, self.y, matrix.rows),
                *(self.added, gate, self.chosen.ids, self.chosen.rows_per_x),
            ),
        )


def kernels_of(kind: str, *, gated: bool) -> Iterator[str]:
    """All that products of a kind may be launched with."""
    if kind == "F32":
        yield "linear_F32"
        return
    yield f"linear_{kind}_many"
    for columns in FEW.get(kind, FEW_OF_PANELS):
        yield f"{'gated_' * gated}linear_{kind}_{columns}"


def _up(number: int, divisor: int) -> int:
    return -(-number // divisor)
