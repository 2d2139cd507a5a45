"""gpt-oss: experts with a clamped SwiGLU, attention sinks, every other layer local."""

from lepton_cli.models.decoder import Decoder


class GptOss(Decoder):
    activation = "clamped_swiglu"
    gating = "softmax_of_chosen"
    ffn_norm = "post_attention_norm"  # its name notwithstanding, it stands before the experts
    local_period, default_window = 2, None
