"""gpt-oss: experts with a clamped SwiGLU, attention sinks, every other layer local."""

from lepton_cli.models.decoder import Decoder


class GptOss(Decoder):
    activation = "clamped_swiglu"
    gating = "softmax_of_chosen"
    ffn_norm = "post_attention_norm"  # its name notwithstanding, it stands before the experts

    def window(self, layer: int) -> int | None:
        period = self.keys.period("attention.sliding_window_pattern", 2)
        local = period == 0 or layer % period < period - 1
        return self.keys.positive("attention.sliding_window") if local else None
