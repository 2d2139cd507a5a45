"""The tiny models that other tests run on are what their architectures' real files are."""

import re
from pathlib import Path

import gguf
import numpy as np
import pytest
from make_gguf import CHATML, write_model
from presets_gguf import PRESETS

from quant.format import FORMATS, dequantize
from quant.gguf import GGUF

ARCHITECTURES = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
READABLE = [kind.name for kind in FORMATS.values() if kind.dequantize]


NAMED = [name for name, preset in PRESETS.items() if preset.architecture in ARCHITECTURES]
"""Without those that are newer than the package of names."""


@pytest.mark.parametrize("preset", NAMED)
def test_every_tensor_has_a_name_of_its_architecture(preset: str, tmp_path: Path) -> None:
    file = GGUF.open(write_model(tmp_path / "a.gguf", preset))
    arch = ARCHITECTURES[file.metadata.string("general.architecture")]
    known = {gguf.TENSOR_NAMES[tensor] for tensor in gguf.MODEL_TENSORS[arch]}
    known.add("cls.output")  # of rerankers, in any architecture
    stems = {re.sub(r"(\.act\.scales|\.(weight|bias|scale))$", "", name) for name in file.tensors}
    assert {re.sub(r"\bblk\.\d+", "blk.{bid}", stem) for stem in stems} <= known


@pytest.mark.parametrize("weights", READABLE)
def test_weights_are_near_standard_whatever_their_format(weights: str, tmp_path: Path) -> None:
    file = GGUF.open(write_model(tmp_path / "a.gguf", weights=weights))
    tensor = file.tensors["blk.1.ffn_up.weight"]
    x = dequantize(tensor.format, tensor.data)
    assert tensor.format.name == weights
    assert tensor.shape == (2 * x.shape[1], x.shape[1])
    assert abs(x.mean()) < 0.01
    assert x.std() == pytest.approx(2 * x.shape[1] ** -0.5, rel=0.1)


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a.gguf", "qwen3moe", weights="Q4_K", seed=3)
    second = write_model(tmp_path / "b.gguf", "qwen3moe", weights="Q4_K", seed=3)
    other = write_model(tmp_path / "c.gguf", "qwen3moe", weights="Q4_K", seed=4)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


def test_keys_and_tensors_are_added_replaced_and_left_out(tmp_path: Path) -> None:
    file = GGUF.open(
        write_model(
            tmp_path / "a.gguf",
            metadata={"tokenizer.chat_template": CHATML, "llama.rope.freq_base": None},
            tensors={
                "rope_freqs.weight": "R",
                "output.weight": None,
                "output_norm.weight": np.full(64, 3),
            },
            dimensions={"L": 1, "V": 100},
        )
    )
    assert file.metadata["tokenizer.chat_template"] == CHATML
    assert "llama.rope.freq_base" not in file.metadata
    assert file.metadata["llama.block_count"] == 1
    assert file.tensors["rope_freqs.weight"].shape == (8,)
    assert file.tensors["token_embd.weight"].shape == (100, 64)
    assert "output.weight" not in file.tensors
    assert "blk.1.attn_q.weight" not in file.tensors
    norm = file.tensors["output_norm.weight"]
    assert (dequantize(norm.format, norm.data) == 3).all()
