"""A small Qwen 3.5 with a further block that guesses tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from make_gguf import write_model
from preset_parts import GATED_ATTENTION
from presets_gguf import PRESETS

from quant.gguf import GGUF

WIDTH = 64
BRANCHES = ("attn_output", "ssm_out", "ffn_down")  # the last matrix of each mixer


def with_head(
    path: Path,
    *,
    own: bool = False,
    right: bool = False,
    metadata: Mapping[str, Any] | None = None,
    **changed: str | None,
) -> Path:
    """The third block is the head's. `own`: with the head's own table and matrices.

    `right`: all its guesses are, because model and head look at the last token only.
    """
    block = PRESETS["qwen35"].block | GATED_ATTENTION
    tensors: dict[str, Any] = {f"blk.2.{name}": shape for name, shape in block.items() if shape}
    heads: dict[str, Any] = {"eh_proj": "DF", "enorm": "D", "hnorm": "D"}
    if own:
        heads |= {"embed_tokens": "VD", "shared_head_head": "VD", "shared_head_norm": "D"}
    heads |= changed
    if right:
        heads["eh_proj"] = np.eye(WIDTH, 2 * WIDTH, dtype=np.float32)
        heads["enorm"] = np.ones(WIDTH, np.float32)
    tensors |= {f"blk.2.nextn.{name}.weight": shape for name, shape in heads.items()}
    keys = {"qwen35.block_count": 3, "qwen35.nextn_predict_layers": 1}
    keys["qwen35.attention.recurrent_layers"] = [True, False, True]  # the last is of no meaning
    if right:
        write_model(path, "qwen35", tensors=tensors, metadata=keys)
        tensors |= _silenced(path)
    return write_model(path, "qwen35", tensors=tensors, metadata={**keys, **(metadata or {})})


def _silenced(path: Path) -> dict[str, Any]:
    """Zeros for the matrices with which mixers add to the stream."""
    ends = tuple(f".{name}.weight" for name in BRANCHES)
    tensors = GGUF.open(path).tensors
    return {
        name: np.zeros(tensor.shape, np.float32)
        for name, tensor in tensors.items()
        if name.endswith(ends)
    }
