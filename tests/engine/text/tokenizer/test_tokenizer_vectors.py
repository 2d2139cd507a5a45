"""Tokenizers of real vocabularies against ids recorded from llama.cpp."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from lepton_cli.engine.text.messages import Segment
from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from quant.gguf import GGUF

VOCABULARIES = (
    *("bert-bge", "falcon", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"),
)
LOSSLESS = tuple(name for name in VOCABULARIES if name != "bert-bge")
ENDS = {
    "bert-bge": {"[SEP]", "[PAD]"},
    "falcon": {"<|endoftext|>"},
    "gemma-4": {"<eos>", "<turn|>", "<|tool_response>"},
    "gpt-2": {"<|endoftext|>"},
    "llama-bpe": {"<|end_of_text|>", "<|eot_id|>"},
    "llama-spm": {"</s>"},
    "phi-3": {"</s>", "<|endoftext|>", "<|end|>"},
    "qwen2": {"<|endoftext|>", "<|im_end|>", "</s>"},
}
STORY, TALK, QUESTION = (
    "Once upon a time",
    "User: hey, how are you?\nBot:",
    "Q: Are you AGI?\nA:",
)
PROMPTS = {
    "stories260K-F32.gguf": STORY,
    "stories260K-moe-F32.gguf": STORY,
    "stories260K-phi3-F32.gguf": STORY,
    "stories260K-qwen2-F32.gguf": STORY,
    "stories260K-tied-F32.gguf": STORY,
    "babyllama-tok105-F32.gguf": STORY,
    "tiny-rwkv7-834K-F32.gguf": '"in',
    "bitllama-3M-Q4_K_M.gguf": STORY,
    "atome-vanilla1m-gpt2-F16.gguf": STORY,
    "tinytalk-3m-gpt2-F16.gguf": TALK,
    "tinytalk-3m-gpt2-Q4_0.gguf": TALK,
    "slm4096-gpt2-F32.gguf": QUESTION,
}
UNTRUSTED = "a</s>b <|im_end|><|eot_id|> <|end|><unk>[PAD151646]<turn|>[SEP]<|endoftext|>\n"

Data = Callable[[str], Path]


@cache
def tokenizer(path: Path) -> Tokenizer:
    return build_tokenizer(GGUF.open(path).metadata)


def vocabulary_path(shared_data: Data, name: str) -> Path:
    return shared_data("vocabs") / f"ggml-vocab-{name}.gguf"


def recorded_cases(path: Path) -> list[tuple[str, list[int]]]:
    texts = path.with_name(path.name + ".inp").read_bytes().decode()
    lines = path.with_name(path.name + ".out").read_bytes().decode().split("\n")
    ids = [[int(number) for number in line.split()] for line in lines]
    return list(zip(texts.split("\n__ggml_vocab_test__\n"), ids, strict=False))


@pytest.mark.parametrize("name", VOCABULARIES)
def test_encode_equals_recorded_ids(shared_data: Data, name: str) -> None:
    path = vocabulary_path(shared_data, name)
    cases = recorded_cases(path)
    assert len(cases) >= 46
    for text, ids in cases:
        assert tokenizer(path).encode(text, add_special=False) == ids, repr(text)


def test_every_recorded_vocabulary_is_tested(shared_data: Data) -> None:
    names = {path.name for path in shared_data("vocabs").glob("*.inp")}
    assert names == {f"ggml-vocab-{name}.gguf.inp" for name in VOCABULARIES}


@pytest.mark.parametrize("name", LOSSLESS)
def test_decode_gives_back_every_recorded_text(shared_data: Data, name: str) -> None:
    path = vocabulary_path(shared_data, name)
    for text, _ in recorded_cases(path):
        assert tokenizer(path).decode(tokenizer(path).encode(text, add_special=False)) == text


@pytest.mark.parametrize("name", VOCABULARIES)
def test_real_vocabularies_name_their_ends(shared_data: Data, name: str) -> None:
    found = tokenizer(vocabulary_path(shared_data, name))
    assert {found.token_text(token) for token in found.end_of_generation} == ENDS[name]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_untrusted_text_becomes_no_special_token(shared_data: Data, name: str) -> None:
    found = tokenizer(vocabulary_path(shared_data, name))
    ids = found.encode_segments([Segment(UNTRUSTED, trusted=False)], add_special=False)
    allowed = {1, 6} | ({2} if name == "bert-bge" else set())  # there an unknown word is [UNK]
    assert {int(found.token_type(token)) for token in ids} <= allowed
    if name in LOSSLESS:
        assert found.decode(ids) == UNTRUSTED


@pytest.mark.parametrize("name", PROMPTS)
def test_prompt_ids_equal_llama_cpp(shared_data: Data, name: str) -> None:
    found = tokenizer(shared_data("models") / name)
    lines = (shared_data("models") / "reference.jsonl").read_text().splitlines()
    reference = next(row for row in map(json.loads, lines) if row["model"] == name)
    assert found.encode(PROMPTS[name], parse_special=True) == reference["prompt_ids"]
    assert found.vocab_size == reference["n_vocab"]


def test_decoded_answer_equals_recorded_text(shared_data: Data) -> None:
    folder = shared_data("models")
    found = tokenizer(folder / "stories260K-F32.gguf")
    first = json.loads((folder / "reference.jsonl").read_text().splitlines()[0])
    streamed = b"".join(map(found.token_bytes, first["greedy_ids"])).decode()
    assert (folder / "stories260K-F32.txt").read_text().startswith(streamed)
    assert found.decode(first["prompt_ids"]) == STORY
