"""Qwen3-Next: Qwen 3.5's forerunner, with other layouts of the delta net's matrices."""

from dataclasses import dataclass

import numpy as np

from lepton_cli.models.architectures.qwen.qwen35 import Qwen35
from lepton_cli.models.parts.recurrence import GatedDelta
from lepton_cli.models.weights import Layer
from ops.interface import Array, Linear, Operators, check_widths


@dataclass(frozen=True, slots=True)
class GroupedDelta(GatedDelta):
    """Matrices hold what belongs to a head of keys together; r heads of values belong to it."""

    def project(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array]:
        """Old files have for each head of keys q, k, r times v and r times z in one matrix."""
        if "attn_qkv" in w:
            w.leave_out("ssm_in")
            return super(GroupedDelta, self).project(ops, x, w)
        heads, fused = self.heads, ops.linear(w.ssm_in, x)
        widths = [width // heads.key_heads for width in self.widths]
        ends = np.cumsum([*widths, widths[-1]]).tolist()  # of q, k, v and z
        check_widths(w.ssm_in.weight.name, w.ssm_in.weight.rows, heads.key_heads * ends[-1])
        q, k, v, z = (
            ops.columns(fused, start, stop, ends[-1])
            for start, stop in zip([0, *ends], ends, strict=False)
        )
        return ops.join([q, k, v]), z

    def control_weights(self, w: Layer) -> tuple[Linear, Linear]:
        """One matrix holds for each head of keys r rows of rates, then r of decays."""
        rate, decay = w.parts_of_groups("ssm_ba.weight", self.heads.key_heads, 2)
        return Linear(rate), Linear(decay, w.weight("ssm_dt.bias"))


class Qwen3Next(Qwen35):
    axes = None
    grouped_keys = True

    def delta(self, layer: int) -> GatedDelta:
        taps = self.keys.positive("ssm.conv_kernel")
        return GroupedDelta(self.delta_heads(), self.norm, self.eps, taps)
