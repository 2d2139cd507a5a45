"""A decoder's numbers, read from the keys `{architecture}.…` that its architecture defines."""

import math
from dataclasses import dataclass

from quant.errors import ModelFileError
from quant.gguf import Metadata

MAX_LAYERS, MAX_HEAD_WIDTH = 1 << 12, 1 << 14


@dataclass(frozen=True, slots=True)
class Parameters:
    """Widths in elements; `rotary` is how many dimensions of a head turn."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    eps: float
    context: int
    rotary: int
    experts: int
    experts_used: int


class Keys:
    """The metadata under one architecture's prefix."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self.prefix = metadata.string("general.architecture")

    def name(self, key: str) -> str:
        return f"{self.prefix}.{key}"

    def __contains__(self, key: str) -> bool:
        return self.name(key) in self.metadata

    def integer(self, key: str, default: int | None = None) -> int:
        return self.metadata.integer(self.name(key), default)

    def number(self, key: str, default: float | None = None) -> float:
        """Finite; -inf and NaN stand in keys that nobody reads."""
        value = self.metadata.number(self.name(key), default)
        if not math.isfinite(value):
            raise self.error(key, f"is {value}")
        return value

    def string(self, key: str, default: str) -> str:
        return self.metadata.string(self.name(key), default)

    def uniform(self, key: str, default: int | None = None) -> int:
        """A number that the file may repeat for each layer."""
        if key not in self and default is not None:
            return default
        values = self.metadata.integers(self.name(key))
        if len(set(values)) != 1:
            raise self.error(key, f"differs between layers ({values[:8]}): not supported yet")
        return values[0]

    def period(self, key: str, default: int) -> int:
        """One layer in so many differs; a list of the layers stands for the default."""
        value = self.metadata.get(self.name(key), default)
        return self.integer(key, default) if isinstance(value, int) else default

    def positive(self, key: str, default: int | None = None) -> int:
        value = self.uniform(key, default)
        if not 0 < value < 1 << 31:
            raise self.error(key, f"is {value}")
        return value

    def error(self, key: str, complaint: str) -> ModelFileError:
        return ModelFileError(f"{self.metadata.path}: the key {self.name(key)} {complaint}")


def read_parameters(keys: Keys, norm_eps: str) -> Parameters:
    """Raises ModelFileError for a missing key or numbers that cannot belong together."""
    width, heads = keys.positive("embedding_length"), keys.positive("attention.head_count")
    head_width = keys.positive("attention.key_length", width // heads or 1)
    if head_width > MAX_HEAD_WIDTH:
        raise keys.error("attention.key_length", f"is {head_width}")
    if keys.positive("attention.value_length", head_width) != head_width:
        raise keys.error("attention.value_length", "differs from key_length: not supported yet")
    kv_heads = keys.positive("attention.head_count_kv", heads)
    if heads % kv_heads:
        raise keys.error("attention.head_count", f"is {heads}: no multiple of {kv_heads} kv heads")
    rotary = keys.positive("rope.dimension_count", head_width)
    if rotary > head_width or rotary % 2:
        raise keys.error("rope.dimension_count", f"is {rotary} with heads of {head_width}")
    layers = keys.positive("block_count") - keys.integer("nextn_predict_layers", 0)
    if not 0 < layers <= MAX_LAYERS:
        raise keys.error("block_count", f"leaves {layers} layers")
    experts = keys.uniform("expert_count", 0)
    used = keys.positive("expert_used_count") if experts else 0
    if used > experts:
        raise keys.error("expert_used_count", f"is {used}, expert_count {experts}")
    return Parameters(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        eps=keys.number(f"attention.{norm_eps}"),
        context=keys.positive("context_length"),
        rotary=rotary,
        experts=experts,
        experts_used=used,
    )
