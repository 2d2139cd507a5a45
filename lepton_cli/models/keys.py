"""A model's numbers, read from the keys `{architecture}.…` that its architecture defines."""

import math

from quant.errors import ModelFileError
from quant.gguf import Metadata

MAX_LAYERS, MAX_HEAD_WIDTH = 1 << 9, 1 << 14


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

    def at(self, key: str, layer: int, default: int | None = None) -> int:
        """A layer's number: the key's own, or the entry of its list."""
        if key not in self and default is not None:
            return default
        values = self.metadata.integers(self.name(key))
        if len(values) == 1:
            return values[0]
        if layer >= len(values):
            raise self.error(key, f"has {len(values)} entries, none of them for layer {layer}")
        return values[layer]

    def positive_at(self, key: str, layer: int, default: int | None = None) -> int:
        return self._checked(key, self.at(key, layer, default))

    def period(self, key: str, default: int) -> int:
        """One layer in so many differs; a list of the layers stands for the default."""
        value = self.metadata.get(self.name(key), default)
        return self.integer(key, default) if isinstance(value, int) else default

    def positive(self, key: str, default: int | None = None) -> int:
        """One number for the whole model. A file may repeat it for each layer."""
        if key not in self and default is not None:
            return self._checked(key, default)
        values = self.metadata.integers(self.name(key))
        if len(set(values)) != 1:
            raise self.error(key, f"differs between layers ({values[:8]})")
        return self._checked(key, values[0])

    def layers(self) -> int:
        """Blocks, without those that only guess further tokens."""
        layers = self.positive("block_count") - self.integer("nextn_predict_layers", 0)
        if not 0 < layers <= MAX_LAYERS:
            raise self.error("block_count", f"leaves {layers} layers")
        return layers

    def _checked(self, key: str, value: int) -> int:
        if not 0 < value < 1 << 31:
            raise self.error(key, f"is {value}")
        return value

    def error(self, key: str, complaint: str) -> ModelFileError:
        return ModelFileError(f"{self.metadata.path}: the key {self.name(key)} {complaint}")
