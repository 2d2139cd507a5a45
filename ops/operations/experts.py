"""The choice of experts, and the sum of their results."""

from dataclasses import dataclass, field

from ops.interface import Routing, Weight
from ops.operations.base import (
    READ,
    VECTOR,
    WRITTEN,
    Buffer,
    Operation,
)


@dataclass(frozen=True, slots=True, eq=False)
class Route(Operation):
    logits: Buffer = field(metadata=READ)
    ids: Buffer = field(metadata=WRITTEN)
    weights: Buffer = field(metadata=WRITTEN)
    routing: Routing
    bias: Weight | None = field(default=None, metadata=VECTOR)
    listed: Buffer | None = field(default=None, metadata=READ)


@dataclass(frozen=True, slots=True, eq=False)
class Group(Operation):
    """The rows of each expert: `order` sorts them by expert, `starts` is where each one's begin."""

    ids: Buffer = field(metadata=READ)
    order: Buffer = field(metadata=WRITTEN)
    starts: Buffer = field(metadata=WRITTEN)
    routing: Routing


@dataclass(frozen=True, slots=True, eq=False)
class ExpertSum(Operation):
    x: Buffer = field(metadata=READ)
    weights: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
