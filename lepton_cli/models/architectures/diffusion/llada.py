"""LLaDA (Nie et al. 2025): Llama that sees all tokens, later with experts."""

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.architectures.qwen.qwen3 import Qwen3
from lepton_cli.models.rope import Frequencies
from lepton_cli.models.weights import FEED_FORWARD, FEED_FORWARD_SCALES


class LLaDA(Llama):
    sees = "run"
    unapplied = (
        FEED_FORWARD_SCALES | {"attn_output.bias"} | {f"{name}.bias" for name in FEED_FORWARD}
    )
    ignored = frozenset({"rope_freqs.weight"})

    def rope_divisors(self) -> Frequencies | None:
        return None


class LLaDAMoe(Qwen3):
    """Its attention is Qwen 3's; the weights of the experts are not divided by their sum."""

    sees = "run"
    normalizes = False
    unapplied = FEED_FORWARD_SCALES
