"""Products with weights, and rows taken from a table."""

from dataclasses import dataclass, field
from typing import Literal

from ops.interface import Activation, Linear, Step, Weight
from ops.operations.base import (
    PRODUCT,
    READ,
    TABLE,
    WRITTEN,
    Buffer,
    Cost,
    Operation,
    PositionBytes,
)


@dataclass(frozen=True, slots=True, eq=False)
class Embed(Operation):
    """The table's rows for the step's tokens, or for their positions, or those that `rows` names.

    What `rows` names for a token stands side by side.
    """

    y: Buffer = field(metadata=WRITTEN)
    table: Weight = field(metadata=TABLE)
    index: Literal["tokens", "positions", "rows"] = "tokens"
    rows: Buffer | None = field(default=None, metadata=READ)

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        each = self.y.width // self.table.columns * self.table.data.shape[1]
        return Cost(self.y.count(step) * each)


@dataclass(frozen=True, slots=True, eq=False)
class Product(Operation):
    """y = w·x (+ added); with `up` y = activation(w·x) · up·x. `quantized` is y in blocks of 32."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=PRODUCT)
    up: Linear | None = field(default=None, metadata=PRODUCT)
    activation: Activation | None = None  # of a product with `up`
    added: Buffer | None = field(default=None, metadata=READ)
    quantized: Buffer | None = field(default=None, metadata=WRITTEN)

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _product_costs(self, self.y.count(step))


@dataclass(frozen=True, slots=True, eq=False)
class ExpertProduct(Operation):
    """As `Product`, each row of y with the matrix of its expert.

    `merged`: the first half of w's rows are the gate's, the others those of `up`. `order` are the
    rows of y sorted by expert, `starts` where each expert's begin.
    """

    x: Buffer = field(metadata=READ)
    ids: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=PRODUCT)
    up: Linear | None = field(default=None, metadata=PRODUCT)
    activation: Activation | None = None
    merged: bool = False
    order: Buffer | None = field(default=None, metadata=READ)
    starts: Buffer | None = field(default=None, metadata=READ)

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _product_costs(self, self.y.count(step))


@dataclass(frozen=True, slots=True, eq=False)
class HeadProduct(Operation):
    """Each head's columns of x with the head's matrix; `order` and `starts` are of `HeadRows`."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=PRODUCT)
    order: Buffer | None = field(default=None, metadata=READ)
    starts: Buffer | None = field(default=None, metadata=READ)

    @property
    def heads(self) -> int:
        return self.w.weight.experts

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _product_costs(self, self.y.count(step) * self.heads)


@dataclass(frozen=True, slots=True, eq=False)
class HeadRows(Operation):
    """Rows of a head each, sorted by head: `order` of the step's T·H, `starts` of each head's."""

    order: Buffer = field(metadata=WRITTEN)
    starts: Buffer = field(metadata=WRITTEN)
    heads: int


@dataclass(frozen=True, slots=True, eq=False)
class JoinedProducts(Operation):
    """Products of the same input as one: ys[i] = ws[i]·x."""

    x: Buffer = field(metadata=READ)
    ys: tuple[Buffer, ...] = field(metadata=WRITTEN)
    ws: tuple[Linear, ...] = field(metadata=PRODUCT)

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _product_costs(self, self.ys[0].count(step))


def _product_costs(operation: Operation, rows: int) -> Cost:
    """Of experts at most as many as there are rows: rows may share one."""
    size = macs = 0
    for use in operation.uses():
        w = use.weight
        if use.role == "product":
            size += w.data.nbytes * min(rows, w.experts) // w.experts
            macs += rows * w.rows * w.columns
        else:
            size += w.data.nbytes * (rows > 0)
    return Cost(size, macs)
