"""Rewriting a recording for a backend: operators that follow each other become one.

Each rule keeps the meaning: `ops.reference`, which runs the model as it was written, is the oracle
of the result. What is new here: `quantize` and `rms_norm_quantize` (activations for packed
weights), `gated_linear` and `gated_expert_linear` (activation(gate x) · up x), `linear` with a
second input that is added, `angles` (of rotary positions, once a step), `enter_heads` (norm, rope
and the cache's store between the products of q, k, v and attention), `group` (rows by expert).
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ops.interface import Heads, Linear, Rope, Routing
from ops.program import Buffer, Operation, Parameter

PRODUCTS = {"linear", "expert_linear", "gated_linear", "gated_expert_linear"}


def fuse(
    operations: Sequence[Operation], quantized: Collection[str], block_bytes: int
) -> list[Operation]:
    """The same results from fewer passes over memory, and fewer barriers.

    `quantized` are the formats whose products take quantized activations, `block_bytes` what 32 of
    those take.
    """
    fused = _gated(list(operations))
    fused = _added(fused)
    fused = list(_quantized(fused, quantized, block_bytes))
    fused = _normalised(fused)
    fused = _entered(list(_turned(fused)))
    return list(_grouped(fused))


def _readers(operations: Sequence[Operation]) -> Counter[Buffer]:
    return Counter(buffer for op in operations for buffer in op.inputs)


def _makers(operations: Sequence[Operation]) -> dict[Buffer, Operation]:
    return {buffer: op for op in operations for buffer in op.outputs}


def _without(operations: list[Operation], gone: set[Operation]) -> list[Operation]:
    return [op for op in operations if op not in gone]


def _gated(operations: list[Operation]) -> list[Operation]:
    """Two products of the same input that only a gate reads."""
    readers, makers, gone = _readers(operations), _makers(operations), set[Operation]()
    for n, op in enumerate(operations):
        if op.name != "gate":
            continue
        gate, up = (makers.get(buffer) for buffer in op.inputs)
        if gate and up and max(readers[b] for b in op.inputs) == 1 and _alike(gate, up):
            parameters = (*gate.parameters, *up.parameters, *op.parameters)
            operations[n] = Operation(f"gated_{gate.name}", gate.inputs, op.outputs, parameters)
            gone |= {gate, up}
    return _without(operations, gone)


def _alike(gate: Operation, up: Operation) -> bool:
    if gate.name not in PRODUCTS or gate.name != up.name or gate.inputs != up.inputs:
        return False
    a, b = _linear(gate).weight, _linear(up).weight
    return a.format is b.format and (a.rows, a.columns) == (b.rows, b.columns)


def _linear(op: Operation) -> Linear:
    w = op.parameters[0]
    assert isinstance(w, Linear)
    return w


def _added(operations: list[Operation]) -> list[Operation]:
    """A product that is only added to something."""
    readers, makers, gone = _readers(operations), _makers(operations), set[Operation]()
    for n, op in enumerate(operations):
        if op.name != "add":
            continue
        stream, branch = op.inputs
        maker = makers.get(branch)
        if maker and maker.name == "linear" and readers[branch] == 1 and maker not in gone:
            inputs = (*maker.inputs, stream)
            operations[n] = Operation("linear", inputs, op.outputs, maker.parameters)
            gone.add(maker)
    return _without(operations, gone)


def _quantized(
    operations: list[Operation], formats: Collection[str], block_bytes: int
) -> Iterator[Operation]:
    """Products with quantized weights read quantized activations, made once for all of them."""
    made: dict[Buffer, Buffer] = {}
    for op in operations:
        if op.name not in PRODUCTS or _linear(op).weight.format.name not in formats:
            yield op
            continue
        x = op.inputs[0]
        if x not in made:
            made[x] = Buffer(x.rows, x.multiple, x.width // 32 * block_bytes // 4)
            yield Operation("quantize", (x,), (made[x],), ())
        yield replace(op, inputs=(made[x], *op.inputs[1:]))


def _normalised(operations: list[Operation]) -> list[Operation]:
    """A norm of whole rows that is only quantized."""
    readers, makers, gone = _readers(operations), _makers(operations), set[Operation]()
    for n, op in enumerate(operations):
        if op.name != "quantize":
            continue
        maker = makers.get(op.inputs[0])
        if maker and maker.name == "rms_norm" and readers[op.inputs[0]] == 1:
            if _linear(maker).weight.columns != op.inputs[0].width:
                continue
            name = "rms_norm_quantize"
            operations[n] = Operation(name, maker.inputs, op.outputs, maker.parameters)
            gone.add(maker)
    return _without(operations, gone)


def _turned(operations: list[Operation]) -> Iterator[Operation]:
    """The angles of rotary positions are computed once a step, not once a layer."""
    made: dict[Rope, Buffer] = {}
    for op in operations:
        if op.name != "rope":
            yield op
            continue
        rope = op.parameters[0]
        assert isinstance(rope, Rope)
        if rope not in made:
            width = 2 * len(rope.frequencies) * (2 if rope.interleaved else 1)
            made[rope] = Buffer("tokens", 1, width)
            yield Operation("angles", (), (made[rope],), (rope,))
        yield replace(op, inputs=(*op.inputs, made[rope]))


@dataclass(frozen=True, slots=True)
class _Heads:
    """What becomes of q or k after its product: a norm of each head, then its turn."""

    source: Buffer
    norm: Operation | None
    rope: Operation | None

    @property
    def steps(self) -> set[Operation]:
        return {step for step in (self.norm, self.rope) if step}

    @property
    def angles(self) -> Buffer | None:
        return self.rope.inputs[1] if self.rope else None

    @property
    def eps(self) -> Parameter:
        return self.norm.parameters[1] if self.norm else 0.0


def _entered(operations: list[Operation]) -> list[Operation]:
    """All that stands between the products and attention, head by head."""
    readers, makers, gone = _readers(operations), _makers(operations), set[Operation]()

    def trace(buffer: Buffer, width: int) -> _Heads:
        """From what attention takes back to what a product gave."""
        rope = makers[buffer] if makers[buffer].name == "rope" and readers[buffer] == 1 else None
        turned = rope.inputs[0] if rope else buffer
        norm = makers[turned] if makers[turned].name == "rms_norm" else None
        if norm and (readers[turned] > 1 or _linear(norm).weight.columns != width):
            norm = None
        return _Heads(norm.inputs[0] if norm else turned, norm, rope)

    for n, store in enumerate(operations):
        if store.name != "store":
            continue
        attention, heads = operations[n + 1], store.parameters[0]
        assert attention.name == "attention" and isinstance(heads, Heads)
        q = trace(attention.inputs[0], heads.head_width)
        k = trace(store.inputs[0], heads.head_width)
        if (q.rope and q.angles is not k.angles) or (q.norm and k.norm and q.eps != k.eps):
            q = _Heads(attention.inputs[0], None, None)
        out = Buffer(q.source.rows, q.source.multiple, q.source.width)
        inputs = (q.source, k.source, store.inputs[1], *([k.angles] if k.angles else []))
        norms = [_linear(head.norm) if head.norm else None for head in (q, k)]
        rope, eps = k.rope.parameters[0] if k.rope else None, k.eps or q.eps
        parameters = (heads, *norms, eps, rope, int(q.rope is not None))
        operations[n] = Operation("enter_heads", inputs, (out,), parameters)
        operations[n + 1] = replace(attention, inputs=(out,))
        gone |= q.steps | k.steps
    return _without(operations, gone)


def _grouped(operations: list[Operation]) -> Iterator[Operation]:
    """Expert products are told, beside each row's expert, the rows of each expert."""
    made: dict[Buffer, tuple[Buffer, Buffer]] = {}
    for op in operations:
        if not op.name.endswith("expert_linear"):
            yield op
        else:
            yield replace(op, inputs=(*op.inputs, *made[op.inputs[1]]))
        if op.name == "route":
            ids, routing = op.outputs[0], op.parameters[0]
            assert isinstance(routing, Routing)
            order = Buffer("tokens", ids.width, 1)
            starts = Buffer("step", 1, routing.total + 1)
            made[ids] = order, starts
            yield Operation("group", (ids,), (order, starts), (routing,))
