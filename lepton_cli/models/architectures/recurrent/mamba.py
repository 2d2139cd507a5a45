"""Mamba 1 and 2, FalconMamba: blocks of one mixer with a state space, without attention."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Single
from lepton_cli.models.parts.state_space import Mamba, Mamba2


class Mamba1Model(Decoder):
    def block(self, layer: int) -> Mixer:
        return Single(self.mixer(layer), self.norm)

    def mixer(self, layer: int) -> Mixer:
        normalised = self.keys.boolean("ssm.dt_b_c_rms", False)
        return Mamba.read(self.keys, self.eps if normalised else None)


class Mamba2Model(Mamba1Model):
    def mixer(self, layer: int) -> Mixer:
        return Mamba2.read(self.keys, self.norm)
