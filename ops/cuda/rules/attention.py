"""Launches of rotary positions, the KV cache and attention."""

from collections.abc import Iterator

from ops.cuda.device.device import Launch
from ops.cuda.kernels import operands
from ops.cuda.kernels.intrinsics.kernel import operands_of
from ops.cuda.lowering import attending
from ops.cuda.lowering.lower import (
    THREADS,
    Lowered,
    Lowering,
    Rules,
    StepAddresses,
    quantize_launch,
    rounded_up,
)
from ops.cuda.lowering.records import Counts
from ops.interface import Heads
from ops.operations.attention import Angles, Attention, NormRopeStore, Rotate


def _angles(low: Lowering, op: Angles) -> Lowered:
    rope = op.rope
    frequencies, pairs = low.placing.numbers(rope.frequencies), len(rope.frequencies)

    def launches(step: StepAddresses) -> Iterator[Launch]:
        tokens = step.counts.tokens
        record = operands.Angles(
            table=step[op.y],
            frequencies=low.placing.address(frequencies),
            positions=step.record.positions,
            pairs=pairs,
            tokens=tokens,
            magnitude=float(rope.magnitude),
        )
        grid = (rounded_up(tokens * pairs, THREADS), 1, 1)
        yield Launch("angles", grid, THREADS, operands_of(record))

    return Lowered(launches, ("angles",))


def _rotate(low: Lowering, op: Rotate) -> Lowered:
    assert op.angles is not None
    table, pairs, width = op.angles, len(op.rope.frequencies), op.rope.head_width
    heads = op.x.width // width

    def launches(step: StepAddresses) -> Iterator[Launch]:
        tokens = step.counts.tokens
        record = operands.Rope(
            x=step[op.x],
            y=step[op.y],
            table=step[table],
            pairs=pairs,
            head_width=width,
            heads=heads,
            interleaved=int(op.rope.interleaved),
            tokens=tokens,
        )
        grid = (rounded_up(tokens * heads * (width - pairs), THREADS), 1, 1)
        yield Launch("rope", grid, THREADS, operands_of(record))

    return Lowered(launches, ("rope",))


def _norm_rope_store(low: Lowering, op: NormRopeStore) -> Lowered:
    assert op.q is not None and op.y is not None, "rows of a card's programs are those of tokens"
    q, y = op.q, op.y
    vectors = (norm.weight if norm else None for norm in (op.q_norm, op.k_norm))
    norms = [low.placing.floats(vector) for vector in vectors]

    def launches(step: StepAddresses) -> Iterator[Launch]:
        rows = operands.HeadRows(step[q], step[op.k], step[op.v], step[y])
        q_weight, k_weight = map(low.placing.address, norms)
        head_norms = operands.HeadNorms(q_weight, k_weight, float(op.eps))
        rotation = attending.NO_ROTATION
        if op.rope and op.angles:
            pairs, interleaved = len(op.rope.frequencies), int(op.rope.interleaved)
            rotation = operands.Rotation(step[op.angles], pairs, interleaved, int(op.rotates_q))
        tokens, places = step.counts.tokens, _attention_step(step, op.heads)
        yield attending.norm_rope_store(
            op.heads, low.layout, tokens, places, rows, head_norms, rotation
        )

    return Lowered(launches, (f"norm_rope_store_{low.layout.k}_{low.layout.v}",))


def _attention(low: Lowering, op: Attention) -> Lowered:
    placed, heads, quantized = low.placing.floats(op.sinks), op.heads, op.quantized

    def launches(step: StepAddresses) -> Iterator[Launch]:
        tokens, blocks = step.counts.tokens, step.counts.blocks
        own = low.placing.address(placed)
        packed = step[quantized] if quantized else 0
        buffers = attending.AttentionBuffers(step[op.q], step[op.y], step.scratch, own, packed)
        places = _attention_step(step, heads)
        yield from attending.attend(heads, low.layout, tokens, blocks, places, buffers)
        if quantized and not attending.splits(heads, tokens, blocks):
            yield quantize_launch(step, op.y, quantized)

    def scratch(counts: Counts) -> int:
        return attending.scratch_bytes(heads, counts.tokens, counts.blocks)

    kernels = attending.kernels_of(heads, low.layout)
    return Lowered(launches, (*kernels, *(["quantize"] if quantized else [])), scratch)


def _attention_step(step: StepAddresses, heads: Heads) -> attending.AttentionStep:
    shape = attending.tiles_of(heads)
    record, count = step.record, step.counts.tiles(shape)
    return attending.AttentionStep(record.tables, record.positions, record.tiles(shape), count)


RULES: Rules = {
    Angles: _angles,
    Attention: _attention,
    NormRopeStore: _norm_rope_store,
    Rotate: _rotate,
}
