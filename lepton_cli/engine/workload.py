"""How much a pass of a model has to read and to multiply: counted from the file, not measured."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lepton_cli.models.decoder import Decoder
from ops.cache import CacheLayout
from quant.gguf import Tensor

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
GATHERED = frozenset({EMBEDDING, "position_embd.weight"})


@dataclass(frozen=True, slots=True)
class Pass:
    """`tokens` that enter behind `start` others; `outputs` of them give logits."""

    start: int
    tokens: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A test of a benchmark, named as llama-bench names it; the depth is entered untimed."""

    prompt: int
    generated: int
    depth: int

    @property
    def name(self) -> str:
        parts = [f"pp{self.prompt}"] * (self.prompt > 0) + [f"tg{self.generated}"] * (
            self.generated > 0
        )
        return "+".join(parts) + (f" @ d{self.depth}" if self.depth else "")

    @property
    def tokens(self) -> int:
        return self.prompt + self.generated

    def passes(self, ubatch: int) -> Iterator[Pass]:
        """The prompt in chunks, the last of which gives logits; then token by token."""
        end = self.depth + self.prompt
        for start in range(self.depth, end, ubatch):
            tokens = min(ubatch, end - start)
            yield Pass(start, tokens, int(start + tokens == end))
        for start in range(end, end + self.generated):
            yield Pass(start, 1, 1)


@dataclass(frozen=True, slots=True)
class Matrices:
    """Weights of one kind in bytes and in multiply-adds; of experts, those of a single one."""

    bytes: int = 0
    macs: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A layer's attention: bytes and multiply-adds for each position seen, at most `window`."""

    bytes: int
    macs: int
    window: int | None

    def seen(self, position: int) -> int:
        return position + 1 if self.window is None else min(position + 1, self.window)


@dataclass(frozen=True, slots=True)
class Workload:
    """What a model's weights and cache ask of a pass."""

    always: Matrices  # for every token
    output: Matrices  # for every token whose logits are wanted
    expert: Matrices  # one expert of every layer
    experts: int
    experts_used: int
    gathered: int  # bytes of the embeddings of one token
    spans: Mapping[Span, int]  # and how many layers are like that

    def bytes(self, each: Pass) -> int:
        """Weights and cache that are read, each of them once."""
        experts = min(self.experts, each.tokens * self.experts_used)
        weights = self.always.bytes + experts * self.expert.bytes
        outputs = self.output.bytes if each.outputs else 0
        last = each.start + each.tokens - 1
        cache = sum(
            layers * span.bytes * min(last + 1, span.seen(last) + each.tokens - 1)
            for span, layers in self.spans.items()
        )
        return weights + outputs + each.tokens * self.gathered + cache

    def macs(self, each: Pass) -> int:
        weights = each.tokens * (self.always.macs + self.experts_used * self.expert.macs)
        positions = range(each.start, each.start + each.tokens)
        attention = sum(
            layers * span.macs * sum(map(span.seen, positions))
            for span, layers in self.spans.items()
        )
        return weights + each.outputs * self.output.macs + attention


def count(decoder: Decoder, tensors: Iterable[Tensor], layout: CacheLayout) -> Workload:
    """The work of a file's tensors; an output matrix that is tied to the embedding counts as one.

    A matrix costs one multiply-add a weight and token; vectors are read and not counted otherwise.
    """
    used = {tensor.name: tensor for tensor in tensors if tensor.name not in decoder.ignored}
    output = OUTPUT if OUTPUT in used else EMBEDDING
    experts = [each for each in used.values() if _of_experts(each)]
    rest = [
        each
        for name, each in used.items()
        if name != output and name not in GATHERED and not _of_experts(each)
    ]
    p = decoder.parameters
    return Workload(
        always=_sum(rest),
        output=_sum([used[output]]),
        expert=_divided(_sum(experts), max(p.experts, 1)),
        experts=p.experts,
        experts_used=p.experts_used,
        gathered=sum(used[name].data.shape[1] for name in GATHERED & used.keys()),
        spans=Counter(_span(layout, layer) for layer in range(p.layers)),
    )


def _of_experts(tensor: Tensor) -> bool:
    return "_exps." in tensor.name


def _sum(tensors: Iterable[Tensor]) -> Matrices:
    tensors = list(tensors)
    return Matrices(
        bytes=sum(tensor.data.nbytes for tensor in tensors),
        macs=sum(math.prod(each.shape) for each in tensors if _is_matrix(each)),
    )


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.name.endswith(".weight") and len(tensor.shape) > 1


def _divided(matrices: Matrices, parts: int) -> Matrices:
    return Matrices(matrices.bytes // parts, matrices.macs // parts)


def _span(layout: CacheLayout, layer: int) -> Span:
    heads = layout.layers[layer]
    return Span(
        bytes=layout.position_bytes(layer),
        macs=2 * heads.query_heads * heads.head_width,
        window=heads.window,
    )
