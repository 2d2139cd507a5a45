"""Seed-OSS (ByteDance 2025): Qwen 2 under other names."""

from lepton_cli.models.decoder import Decoder


class SeedOss(Decoder):
    ffn_norm = "post_attention_norm"  # its name notwithstanding, it stands before the feed-forward
