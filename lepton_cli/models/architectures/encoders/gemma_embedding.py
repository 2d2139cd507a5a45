"""EmbeddingGemma (Vera et al. 2025): Gemma 3 that sees whole texts."""

from lepton_cli.models.architectures.gemma.gemma3 import Gemma3


class GemmaEmbedding(Gemma3):
    sees = "run"
    generates = False
