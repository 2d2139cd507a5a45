"""Rotary frequencies from the file's keys: plain, linear, YaRN (Peng et al. 2023), long-rope.

A missing type counts as linear; a factor of 0 or none counts as 1.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_cli.models.keys import Keys

Frequencies = NDArray[np.float32]  # (pairs,)
Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Scaling:
    """How positions are stretched beyond the context of the training."""

    kind: str
    factor: float
    original_context: int


def read_scaling(keys: Keys) -> Scaling:
    context = keys.integer("context_length")
    original = keys.integer("rope.scaling.original_context_length", context)
    factor = keys.not_negative("rope.scaling.factor", 0.0)
    factor = factor or keys.not_negative("rope.scale_linear", 0.0)
    kind = keys.string("rope.scaling.type", "linear")
    if original < 1:
        raise keys.error("rope.scaling.original_context_length", f"is {original}")
    if kind not in ("none", "linear", "yarn", "longrope"):
        raise keys.error("rope.scaling.type", f"is {kind!r}: not supported yet")
    return Scaling(kind, factor if factor and kind != "none" else 1.0, original)


def plain(base: float, rotary: int) -> Frequencies:
    """base^(−2i / rotary)."""
    return (base ** (-np.arange(0, rotary, 2) / rotary)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Yarn:
    """The constants of YaRN; most architectures do not define keys for them."""

    fast: float = 32.0  # rotations over the original context from which a pair keeps its frequency
    slow: float = 1.0  # rotations up to which a pair is stretched
    log_multiplier: float = 0.0

    def ramp(self, pairs: int, base: float, original_context: int) -> Numbers:  # (pairs,)
        """How far each pair is stretched: 0 for fast pairs, 1 for slow ones."""

        def pair(rotations: float) -> float:
            """The pair that makes so many over the original context."""
            length = original_context / (rotations * 2 * math.pi)
            return pairs * math.log(length) / math.log(base)

        low = max(0, math.floor(pair(self.fast)))
        high = min(2 * pairs - 1, math.ceil(pair(self.slow)))
        return np.clip((np.arange(pairs) - low) / max(0.001, high - low), 0, 1)

    def magnitude(self, factor: float) -> float:
        log = math.log(factor)
        return (1 + 0.1 * log) / (1 + 0.1 * self.log_multiplier * log)


PLAIN_YARN = Yarn()


def read_yarn(keys: Keys, fast: float = PLAIN_YARN.fast) -> Yarn:
    """Of an architecture that defines the keys; `fast` is that of a file without the key."""
    fast = keys.number("rope.scaling.yarn_beta_fast", fast)
    slow = keys.number("rope.scaling.yarn_beta_slow", PLAIN_YARN.slow)
    for key, value in (("yarn_beta_fast", fast), ("yarn_beta_slow", slow)):
        if value <= 0:
            raise keys.error(f"rope.scaling.{key}", f"is {value}")
    return Yarn(fast, slow, keys.not_negative("rope.scaling.yarn_log_multiplier", 0.0))


def scaled(
    keys: Keys, base: float, rotary: int, yarn: Yarn = PLAIN_YARN
) -> tuple[Frequencies, float]:
    """The frequencies and the magnitude that the file's scaling asks for."""
    scaling, magnitude = read_scaling(keys), keys.number("rope.scaling.attn_factor", 1.0)
    if magnitude <= 0:
        raise keys.error("rope.scaling.attn_factor", f"is {magnitude}")
    frequencies = plain(base, rotary)
    if scaling.kind == "longrope":  # its factors are tensors
        return frequencies, magnitude
    stretched = frequencies / scaling.factor
    if scaling.kind == "yarn":
        ramp = yarn.ramp(len(frequencies), base, scaling.original_context)
        stretched = stretched * ramp + frequencies * (1 - ramp)
        magnitude *= yarn.magnitude(scaling.factor)
    return stretched.astype(np.float32), magnitude


def text_axes(keys: Keys, frequencies: Frequencies, alternating: bool) -> Frequencies:
    """Of models whose pairs each follow one of four axes: text stands at (p, p, p, 0).

    `rope.dimension_sections` are the pairs of the axes, over and over; `alternating` ones take
    turns by threes. What follows the fourth axis does not turn.
    """
    sections = keys.integers("rope.dimension_sections")
    if len(sections) not in (3, 4) or min(sections) < 0:
        raise keys.error("rope.dimension_sections", f"is {sections[:8]}")
    if sum(sections) == 0:
        return frequencies
    place = np.arange(len(frequencies)) % sum(sections)
    ends = 3 * np.array(sections)[place % 3] if alternating else sum(sections[:3])
    return np.where(place < ends, frequencies, np.float32(0))
