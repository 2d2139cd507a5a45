"""A tiny hybrid: LFM2, whose second layer of three is a convolution with a state of fixed size."""

from pathlib import Path

import numpy as np
from make_gguf import write_model

TAPS, WIDTH, LAYERS, CONTEXT = 4, 64, 3, 900


def write_recurrent(path: Path) -> Path:
    gone = ("q", "k", "v", "output", "q_norm", "k_norm")
    mixing = {"conv": (WIDTH, TAPS), "in_proj": (3 * WIDTH, WIDTH), "out_proj": (WIDTH, WIDTH)}
    random = np.random.default_rng(5)
    return write_model(
        path,
        "lfm2",
        tensors={
            **{f"blk.1.attn_{name}.weight": None for name in gone},
            **{
                f"blk.1.shortconv.{name}.weight": random.normal(0, 0.2, shape).astype(np.float32)
                for name, shape in mixing.items()
            },
        },
        metadata={
            "lfm2.context_length": CONTEXT,
            "lfm2.attention.head_count_kv": [2, 0, 2],
            "lfm2.shortconv.l_cache": TAPS,
        },
        dimensions={"L": LAYERS, "d": 32},  # of a cache in bytes
    )
