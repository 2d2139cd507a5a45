"""Phi 3.5 with experts (Microsoft 2024): Phi 3 whose norms and matrices have biases."""

from lepton_cli.models.architectures.phi.phi3 import Phi3
from lepton_cli.models.parts.block import BiasedRmsNorm, Norm


class PhiMoe(Phi3):
    """The published model has layer norms; llama.cpp, whose arithmetic counts, has RMS norms."""

    @property
    def norm(self) -> Norm:
        return BiasedRmsNorm(self.eps)
