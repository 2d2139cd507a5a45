"""What a model consists of, read off its recorded program."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ops.interface import Heads
from ops.operations.attention import Attention
from ops.operations.base import Buffer, Operation
from ops.operations.experts import Route
from ops.operations.products import ExpertProduct, Product
from ops.operations.recurrence import Convolve, DeltaRule, LinearAttention, SelectiveScan
from ops.program import Program
from ops.state.layout import StateLayout

RECURRENT = {
    DeltaRule: "gated delta net",
    SelectiveScan: "state space",
    LinearAttention: "linear attention",
}


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """The attention of so many layers; None: no window."""

    layers: int
    query_heads: int
    kv_heads: int
    key_width: int
    value_width: int
    window: int | None


@dataclass(frozen=True, slots=True)
class ExpertShape:
    """The mixtures of so many layers; `shared`: experts that every token goes through."""

    layers: int
    total: int
    used: int
    shared: float  # in widths of an expert


@dataclass(frozen=True, slots=True)
class Structure:
    """`kinds`: how many layers mix tokens in which way, the most frequent first.

    `active`: parameters that compute one token. Bytes of K and V are those of a cache in f16.
    """

    kinds: tuple[tuple[str, int], ...]
    attention: tuple[AttentionShape, ...]
    experts: tuple[ExpertShape, ...]
    active: int
    kv_bytes_per_token: int
    state_bytes: int

    @property
    def layers(self) -> int:
        return sum(count for _, count in self.kinds)


def structure_of(program: Program, parameter_count: int) -> Structure:
    """Of a whole model; `parameter_count`: all that its files hold."""
    layers = defaultdict[int, list[Operation]](list)
    for op in program.operations:
        if op.layer is not None:
            layers[op.layer].append(op)
    layout = StateLayout.of(program)
    heads = Counter(_widths(op.heads) for op in program.operations if isinstance(op, Attention))
    mixtures = Counter(found for ops in layers.values() if (found := _mixture(ops)))
    return Structure(
        kinds=tuple(Counter(map(_kind, layers.values())).most_common()),
        attention=tuple(AttentionShape(count, *one) for one, count in heads.most_common()),
        experts=tuple(ExpertShape(count, *one) for one, count in mixtures.most_common()),
        active=parameter_count - _idle(program),
        kv_bytes_per_token=sum(map(layout.page_bytes, layout.pages)),
        state_bytes=layout.slot_bytes,
    )


def _kind(operations: Sequence[Operation]) -> str:
    """How a layer mixes tokens."""
    heads = [op.heads for op in operations if isinstance(op, Attention)]
    kinds = {name for op in operations for kind, name in RECURRENT.items() if isinstance(op, kind)}
    if not kinds and not heads and any(isinstance(op, Convolve) for op in operations):
        kinds = {"short convolution"}
    return " + ".join(sorted({*kinds, *map(_attention, heads)})) or "feed-forward alone"


def _attention(heads: Heads) -> str:
    name = "latent attention" if heads.keys_hold_values else "attention"
    if heads.window is None:
        return name
    return f"{name} in {'chunks' if heads.chunked else 'a window'} of {heads.window}"


def _widths(heads: Heads) -> tuple[int, int, int, int, int | None]:
    return heads.query_heads, heads.kv_heads, heads.head_width, heads.values, heads.window


def _mixture(operations: Sequence[Operation]) -> tuple[int, int, float] | None:
    """Experts in all and for a token, and shared ones; None for a layer without."""
    route = next((op for op in operations if isinstance(op, Route)), None)
    if route is None:
        return None
    *_, down = (op for op in operations if isinstance(op, ExpertProduct))
    width = down.w.weight.columns
    return route.routing.experts, route.routing.used, _shared(operations, route) / width


def _shared(operations: Sequence[Operation], route: Route) -> int:
    """The width of a dense part that reads what the router reads, 0 without one."""
    router = next((op for op in operations if route.logits in op.outputs), None)
    if not isinstance(router, Product):
        return 0
    made = set[Buffer]()  # of the router's input alone
    for op in operations:
        if isinstance(op, Product):
            if op.x is router.x and op is not router:
                made.add(op.y)
            elif op.x in made:
                return op.w.weight.columns
        elif not op.reads_state and op.inputs and made.issuperset(op.inputs):
            made.update(op.outputs)
    return 0


def _idle(program: Program) -> int:
    """The parameters of experts that were not chosen for a token."""
    used = {op.layer: op.routing.used for op in program.operations if isinstance(op, Route)}
    matrices = {
        use.weight.name: use.weight.matrix(0).size * (use.weight.experts - used[op.layer])
        for op in program.operations
        if isinstance(op, ExpertProduct)
        for use in op.uses()
        if use.role == "product"
    }
    return sum(matrices.values())
