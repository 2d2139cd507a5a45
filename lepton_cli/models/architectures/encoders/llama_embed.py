"""Llama-Embed-Nemotron (Babakhin et al. 2025): Llama 3 that sees whole texts."""

from lepton_cli.models.architectures.llama.llama import Llama


class LlamaEmbed(Llama):
    sees = "run"
    generates = False
