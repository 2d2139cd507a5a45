"""Hunyuan 3 (Tencent 2026): heads are normalised, experts chosen with a bias."""

from lepton_cli.models.decoder import Decoder


class HyV3(Decoder):
    has_head_norm = True
    gating, has_gating_key = "sigmoid", True
    normalizes = None
    has_shared_expert = True
    leaves_dense_out = True
