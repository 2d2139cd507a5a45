"""A model's numbers, read from the keys `{architecture}.…` that its architecture defines."""

import numpy as np

from quant.errors import ModelFileError
from quant.gguf import Metadata

MAX_LAYERS, MAX_HEADS, MAX_HEAD_WIDTH = 1 << 9, 1 << 12, 1 << 14
MAX_ROPE_BASE = 1e15
FLOAT32_MAX = float(np.finfo(np.float32).max)


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
        """Finite in float32; -inf and NaN stand in keys that nobody reads."""
        value = self.metadata.number(self.name(key), default)
        if not abs(value) <= FLOAT32_MAX:
            raise self.error(key, f"is {value}")
        return value

    def not_negative(self, key: str, default: float | None = None) -> float:
        """A factor, a limit or an epsilon, which have no meaning below 0."""
        value = self.number(key, default)
        if value < 0:
            raise self.error(key, f"is {value}")
        return value

    def rope_base(self, key: str, default: float | None = None) -> float:
        """Of rotary frequencies, which fall from pair to pair: above 1."""
        value = self.number(key, default)
        if not 1 < value <= MAX_ROPE_BASE:
            raise self.error(key, f"is {value}")
        return value

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self.metadata.boolean(self.name(key), default)

    def string(self, key: str, default: str) -> str:
        return self.metadata.string(self.name(key), default)

    def integers(self, key: str) -> list[int]:
        return self.metadata.integers(self.name(key))

    def at(self, key: str, layer: int, default: int | None = None) -> int:
        """A layer's number: the key's own, or the entry of its list, which has one for each."""
        if default is not None and key not in self:
            return default
        values = self._values(key)
        return values[layer] if self._is_list(key) else values[0]

    def number_at(self, key: str, layer: int, default: float) -> float:
        """As `at`, of real numbers."""
        value = self.metadata.get(self.name(key), default)
        if isinstance(value, int | float):
            return self.number(key, default)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise self.error(key, "is no list of numbers")
        if len(value) != (blocks := self.integer("block_count")):
            raise self.error(key, f"has {len(value)} entries for {blocks} layers")
        if not np.isfinite(value[layer]):
            raise self.error(key, f"holds {value[layer]}")
        return float(value[layer])

    def _is_list(self, key: str) -> bool:
        return not isinstance(self.metadata[self.name(key)], int)

    def _values(self, key: str) -> list[int]:
        """The key's number, or those of all blocks."""
        values = self.integers(key)
        if self._is_list(key) and len(values) != (blocks := self.integer("block_count")):
            raise self.error(key, f"has {len(values)} entries for {blocks} layers")
        return values

    def positive_at(self, key: str, layer: int, default: int | None = None) -> int:
        return self._checked(key, self.at(key, layer, default))

    def is_local(self, layer: int, period: int, global_first: bool = False) -> bool:
        """Whether a layer sees a window of positions instead of all.

        `attention.sliding_window_pattern` lists the layers that do, or is the period at whose end
        one layer does not (0: all do), or at whose beginning, where it comes `global_first`;
        `period` is that of a model without the key.
        """
        key = "attention.sliding_window_pattern"
        if key in self and self._is_list(key):
            return self.at(key, layer) != 0
        period = self.integer(key, period)
        return period == 0 or layer % period != (0 if global_first else period - 1)

    def is_recurrent(self, layer: int, interval: int) -> bool:
        """Whether a layer is listed as recurrent; without a list, one in `interval` is not."""
        if "attention.recurrent_layers" in self:
            return bool(self.at("attention.recurrent_layers", layer))
        return (layer + 1) % self.positive("full_attention_interval", interval) != 0

    def positive(self, key: str, default: int | None = None) -> int:
        """One number for the whole model. A file may repeat it for each layer."""
        if key not in self and default is not None:
            return self._checked(key, default)
        values = self._values(key)
        if len(set(values)) != 1:
            raise self.error(key, f"differs between layers ({values[:8]})")
        return self._checked(key, values[0])

    def layers(self) -> int:
        """Blocks, without those that only guess further tokens."""
        blocks, further = self.positive("block_count"), self.integer("nextn_predict_layers", 0)
        if not 0 <= further < blocks:
            raise self.error("nextn_predict_layers", f"is {further} of {blocks} blocks")
        if blocks - further > MAX_LAYERS:
            raise self.error("block_count", f"leaves {blocks - further} layers")
        return blocks - further

    def heads_at(self, layer: int) -> int:
        """How many heads of queries a layer has."""
        heads = self.positive_at("attention.head_count", layer)
        if heads > MAX_HEADS:
            raise self.error("attention.head_count", f"is {heads}")
        return heads

    def _checked(self, key: str, value: int) -> int:
        if not 0 < value < 1 << 31:
            raise self.error(key, f"is {value}")
        return value

    def error(self, key: str, complaint: str) -> ModelFileError:
        return ModelFileError(f"{self.metadata.path}: the key {self.name(key)} {complaint}")
