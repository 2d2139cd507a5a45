"""The wiring of a block: which norms stand where around its two mixers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from lepton_cli.models.weights import INCOMPLETE, Layer
from ops.interface import Array, Linear, Operators, check_widths
from quant.errors import ModelFileError

Mixer = Callable[[Operators, Array, Layer], Array]  # (T, D) -> (T, D), of tokens or of channels


class Norm(Protocol):
    """Of whole rows, or of each stretch of so many columns (a head)."""

    def __call__(
        self, ops: Operators, x: Array, w: Linear, stretch: int | None = None
    ) -> Array: ...


@dataclass(frozen=True, slots=True)
class RmsNorm:
    eps: float

    def __call__(self, ops: Operators, x: Array, w: Linear, stretch: int | None = None) -> Array:
        return ops.rms_norm(x, w, self.eps, stretch)


@dataclass(frozen=True, slots=True)
class BiasedRmsNorm:
    """An RMS norm whose vector of weights has one of biases beside it."""

    eps: float

    def __call__(self, ops: Operators, x: Array, w: Linear, stretch: int | None = None) -> Array:
        y = ops.rms_norm(x, replace(w, bias=None), self.eps, stretch)
        if w.bias is None:
            return y
        check_widths(w.bias.name, w.bias.columns, w.weight.columns)
        return ops.add(y, ops.scale_by(ones_like(ops, y), Linear(w.bias)))


@dataclass(frozen=True, slots=True)
class LayerNorm:
    eps: float
    biased: bool = False  # where it is of whole rows

    def __call__(self, ops: Operators, x: Array, w: Linear, stretch: int | None = None) -> Array:
        if self.biased and stretch is None and w.bias is None:
            name = f"{w.weight.name.removesuffix('.weight')}.bias"
            raise ModelFileError(f"the tensor {name} is missing", INCOMPLETE)
        return ops.layer_norm(x, w, self.eps, stretch)


@dataclass(frozen=True, slots=True)
class PreNorm:
    """A norm before each mixer, whose result is added to what entered (Xiong et al. 2020)."""

    mixer: Mixer
    channel: Mixer
    norm: Norm
    ffn_norm: str = "ffn_norm"  # the tensor of the norm before the channel mixer

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = ops.add(x, self.mixer(ops, self.norm(ops, x, w.attn_norm), w))
        return ops.add(x, self.channel(ops, self.norm(ops, x, w[self.ffn_norm]), w))


@dataclass(frozen=True, slots=True)
class Single:
    """A block of one mixer, with a norm before it."""

    mixer: Mixer
    norm: Norm

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        return ops.add(x, self.mixer(ops, self.norm(ops, x, w.attn_norm), w))


@dataclass(frozen=True, slots=True)
class NormResidual:
    """A mixer's result is added to what entered it, behind the norm, times `scale`."""

    mixer: Mixer
    channel: Mixer
    norm: Norm
    scale: float

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        for mixer, norm in ((self.mixer, w.attn_norm), (self.channel, w.ffn_norm)):
            x = self.norm(ops, x, norm)
            x = ops.add(ops.scale(x, self.scale), mixer(ops, x, w))
        return x


@dataclass(frozen=True, slots=True)
class BarePreNorm:
    """A norm without weights before each mixer."""

    mixer: Mixer
    channel: Mixer
    norm: Callable[[Operators, Array], Array]

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = ops.add(x, self.mixer(ops, self.norm(ops, x), w))
        return ops.add(x, self.channel(ops, self.norm(ops, x), w))


@dataclass(frozen=True, slots=True)
class PostNorm:
    """A norm of each mixer's result, before it is added (Liu et al. 2021)."""

    mixer: Mixer
    channel: Mixer
    norm: Norm
    mixer_norm: str = "post_attention_norm"
    channel_norm: str = "post_ffw_norm"

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = ops.add(x, self.norm(ops, self.mixer(ops, x, w), w[self.mixer_norm]))
        return ops.add(x, self.norm(ops, self.channel(ops, x, w), w[self.channel_norm]))


@dataclass(frozen=True, slots=True)
class SumNorm:
    """A norm of each sum of a mixer's result and what entered it (Vaswani et al. 2017)."""

    mixer: Mixer
    channel: Mixer
    norm: Norm
    mixer_norm: str = "attn_output_norm"
    channel_norm: str = "layer_output_norm"

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = self.norm(ops, ops.add(x, self.mixer(ops, x, w)), w[self.mixer_norm])
        return self.norm(ops, ops.add(x, self.channel(ops, x, w)), w[self.channel_norm])


@dataclass(frozen=True, slots=True)
class SandwichNorm:
    """A norm before and after each mixer; `post_norm` where the norms after are others.

    Without `ffn_norm` the channel mixer has norms of its own.
    """

    mixer: Mixer
    channel: Mixer
    norm: Norm
    post_norm: Norm | None = None
    ffn_norm: str | None = "ffn_norm"
    mixer_norm: str = "post_attention_norm"
    channel_norm: str = "post_ffw_norm"

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        post_norm = self.post_norm or self.norm
        y = self.mixer(ops, self.norm(ops, x, w.attn_norm), w)
        x = ops.add(x, post_norm(ops, y, w[self.mixer_norm]))
        entering = x if self.ffn_norm is None else self.norm(ops, x, w[self.ffn_norm])
        y = self.channel(ops, entering, w)
        return ops.add(x, post_norm(ops, y, w[self.channel_norm]))


@dataclass(frozen=True, slots=True)
class Parallel:
    """Both mixers at once, of one norm or of one each (Wang and Komatsuzaki 2021)."""

    mixer: Mixer
    channel: Mixer
    norm: Norm
    mixer_norm: str = "attn_norm"
    channel_norm: str = "attn_norm"

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = z = self.norm(ops, x, w[self.mixer_norm])
        if self.channel_norm != self.mixer_norm:
            z = self.norm(ops, x, w[self.channel_norm])
        x = ops.add(x, self.mixer(ops, y, w))
        return ops.add(x, self.channel(ops, z, w))


@dataclass(frozen=True, slots=True)
class Scaled:
    """A mixer whose result is multiplied before it is added."""

    mixer: Mixer
    factor: float

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        return ops.scale(self.mixer(ops, x, w), self.factor)


@dataclass(frozen=True, slots=True)
class Sum:
    """Two mixers of the same input."""

    first: Mixer
    second: Mixer

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        return ops.add(self.first(ops, x, w), self.second(ops, x, w))


def ones_like(ops: Operators, x: Array) -> Array:
    """As many numbers as x has, all 1."""
    return ops.activate(ops.scale(x, 0.0), "exp")
