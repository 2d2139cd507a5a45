"""Rotary frequencies from the file's keys: plain, linear, YaRN (Peng et al. 2023), long-rope.

A missing type counts as linear; a factor of 0 or none counts as 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_cli.models.keys import Keys

Frequencies = NDArray[np.float32]  # (pairs,)


@dataclass(frozen=True, slots=True)
class Scaling:
    """How positions are stretched beyond the context of the training."""

    kind: str
    factor: float
    original_context: int


def read_scaling(keys: Keys) -> Scaling:
    context = keys.integer("context_length")
    original = keys.integer("rope.scaling.original_context_length", context)
    factor = keys.number("rope.scaling.factor", 0.0) or keys.number("rope.scale_linear", 0.0)
    kind = keys.string("rope.scaling.type", "linear")
    if original < 1:
        raise keys.error("rope.scaling.original_context_length", f"is {original}")
    if kind not in ("none", "linear", "yarn", "longrope"):
        raise keys.error("rope.scaling.type", f"is {kind!r}: not supported yet")
    return Scaling(kind, factor if factor > 0 and kind != "none" else 1.0, original)


def plain(base: float, rotary: int) -> Frequencies:
    """base^(−2i / rotary)."""
    return (base ** (-np.arange(0, rotary, 2) / rotary)).astype(np.float32)


def scaled(keys: Keys, base: float, rotary: int) -> tuple[Frequencies, float]:
    """The frequencies and the magnitude that the file's scaling asks for."""
    scaling = read_scaling(keys)
    if not base > 1:
        raise keys.error("rope.freq_base", f"is {base}")
    frequencies = plain(base, rotary)
    if scaling.kind == "yarn":
        return yarn(keys, scaling, frequencies, base)
    if scaling.kind == "longrope":
        return frequencies, keys.number("rope.scaling.attn_factor", 1.0)
    return (frequencies / scaling.factor).astype(np.float32), 1.0


def yarn(
    keys: Keys, scaling: Scaling, frequencies: Frequencies, base: float
) -> tuple[Frequencies, float]:
    """Slow pairs are stretched, fast pairs kept, with a ramp between them."""
    pairs = len(frequencies)

    def turning(key: str, default: float) -> float:
        """The pair that makes so many rotations over the original context."""
        rotations = keys.number(key, default)
        if rotations <= 0:
            raise keys.error(key, f"is {rotations}")
        length = scaling.original_context / (rotations * 2 * math.pi)
        return 2 * pairs * math.log(length) / (2 * math.log(base))

    low = max(0, math.floor(turning("rope.scaling.yarn_beta_fast", 32.0)))
    last = 2 * pairs - 1
    high = min(last, math.ceil(turning("rope.scaling.yarn_beta_slow", 1.0)))
    ramp = np.clip((np.arange(pairs) - low) / max(0.001, high - low), 0, 1)
    mixed = frequencies / scaling.factor * ramp + frequencies * (1 - ramp)
    return mixed.astype(np.float32), yarn_magnitude(keys, scaling.factor)


def yarn_magnitude(keys: Keys, factor: float) -> float:
    log = math.log(factor)
    multiplier = keys.number("rope.scaling.yarn_log_multiplier", 0.0)
    magnitude = 1 + 0.1 * log
    if multiplier:
        magnitude /= 1 + 0.1 * multiplier * log
    return magnitude * keys.number("rope.scaling.attn_factor", 1.0)
