"""Attention of Gemma 3n and 4: values are normalised, and the last layers keep nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from lepton_cli.models.parts.block import RmsNorm
from lepton_cli.models.weights import Layer
from ops.interface import Array, Heads, Operators, Rope
from quant.errors import ModelFileError


@dataclass(frozen=True, slots=True)
class ReadingAttention:
    """Grouped attention; values have a norm without weights.

    A layer of another number than `heads.layer` reads what that one keeps, and has queries alone.
    Where `keys_are_values`, values are the keys before their norm.
    """

    heads: Heads
    rope: Rope | None
    norm: RmsNorm
    keys_are_values: bool = False

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        q = self.turned(ops, ops.linear(w.attn_q, x), w, "attn_q_norm")  # (T, H*d)
        k = v = None
        if w.number == self.heads.layer:
            k, v = self.keys_and_values(ops, x, w)  # (T, K*d), (T, K*e)
        else:
            w.leave_out("attn_k", "attn_v", "attn_k_norm")  # some files hold them all the same
        return ops.linear(w.attn_output, ops.attention(q, k, v, self.heads))  # (T, D)

    def keys_and_values(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array]:
        k = ops.linear(w.attn_k, x)
        v = k if self.keys_are_values else ops.linear(w.attn_v, x)
        v = ops.rms_norm(v, self.heads.values, self.norm.eps)
        return self.turned(ops, k, w, "attn_k_norm"), v

    def turned(self, ops: Operators, x: Array, w: Layer, norm: str) -> Array:
        """Heads of queries or keys, normalised and turned."""
        x = self.norm(ops, x, w[norm], self.heads.head_width)
        return x if self.rope is None else ops.rope(x, self.rope)


def kept_by(layer: int, own: int, is_local: Callable[[int], bool]) -> int:
    """The layer whose keys and values it reads: its own, or the last of its kind that has any.

    The first `own` layers have them. Raises ModelFileError.
    """
    if layer < own:
        return layer
    alike = [n for n in range(own) if is_local(n) == is_local(layer)]
    if not alike:
        kind = "local" if is_local(layer) else "global"
        raise ModelFileError(f"layer {layer} has no keys, and no {kind} layer before it has any")
    return alike[-1]
