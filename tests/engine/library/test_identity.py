"""Two files are one model where they answer alike, and only there."""

from dataclasses import dataclass, replace
from mmap import mmap
from pathlib import Path

import pytest
from make_gguf import write_model

from lepton_cli.engine.library.identity import model_identity
from lepton_cli.engine.loading.plan import build
from quant.gguf import GGUF, Stamp

TOKENS = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["a", "b"]}


def identity(path: Path, **how: object) -> str:
    write_model(path, **how)
    return model_identity(GGUF.open(path))


def test_a_name_or_a_place_is_not_an_other_model(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    one = identity(tmp_path / "a.gguf", metadata={**TOKENS, "general.name": "one"})
    two = identity(tmp_path / "elsewhere" / "b.gguf", metadata={**TOKENS, "general.name": "two"})
    assert one == two
    assert len(one) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"weights": "Q8_0"},
        {"preset": "qwen2"},
        {"metadata": {**TOKENS, "tokenizer.ggml.tokens": ["a", "c"]}},
        {"metadata": {**TOKENS, "tokenizer.ggml.tokens": ["ab", ""]}},
        {"metadata": {**TOKENS, "tokenizer.chat_template": "x"}},
        {"metadata": {**TOKENS, "llama.rope.freq_base": 20000.0}},
    ],
)
def test_what_changes_answers_is_another_model(tmp_path, change):
    one = identity(tmp_path / "a.gguf", metadata=TOKENS)
    assert identity(tmp_path / "b.gguf", **{"metadata": TOKENS, **change}) != one


@pytest.mark.parametrize("place", [0, -1])
def test_a_tensor_is_read_from_its_first_to_its_last_byte(tmp_path, place):
    path = tmp_path / "a.gguf"
    one = identity(path, dimensions={"D": 256, "F": 1024})
    file = GGUF.open(path)
    tensor = max(file.tensors.values(), key=lambda each: each.data.size)
    assert tensor.data.size > 8 * 4096
    raw = path.read_bytes()
    start = raw.index(tensor.data[0].tobytes())
    at = start if place == 0 else start + tensor.data.size - 1
    path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    assert model_identity(GGUF.open(path)) != one


@dataclass(frozen=True)
class Named:
    identity: str
    name: str = "another"
    stamps: tuple[Stamp, ...] = ()
    maps: tuple[mmap, ...] = ()


def test_a_program_of_one_file_is_that_file_and_of_several_all_of_them(tmp_path):
    file = GGUF.open(write_model(tmp_path / "m.gguf"))
    program = build(file, 64)
    assert program.identity == model_identity(file)
    adapted = replace(program, sources=(*program.sources, Named("adapter")))
    other = replace(program, sources=(*program.sources, Named("other")))
    assert len({program.identity, adapted.identity, other.identity}) == 3
