"""Converted tokenizers: ids as the original library gives them, types, names, templates."""

import json
from pathlib import Path

import pytest
from make_folder import write_folder
from sentencepiece import SentencePieceProcessor
from tiny_tokenizers import CHAT, LLAMA3, QWEN2, write_byte_pairs
from tokenizers import Tokenizer, models, pre_tokenizers

from lepton_cli.__main__ import run
from lepton_cli.engine.converting.pretokenizer import CHECK, HASHES, pretokenizer_name
from lepton_cli.engine.text.tokenizer.build import build_tokenizer
from quant.errors import ModelFileError
from quant.gguf import GGUF, Metadata

TEXTS = [
    "the hello thethe  hell",
    "12345 Don't, we'LL\n\n see \t",
    " \u00e9\u4e16\u754c\U0001f999 -- ",
    "",
]


def metadata_of(folder: Path, code: int = 0) -> Metadata:
    out = folder.parent / "out.gguf"
    out.unlink(missing_ok=True)
    assert run(["convert", str(folder), str(out)]) == code
    return GGUF.open(out).metadata


@pytest.mark.parametrize("kind", ["llama3", "qwen2", "gpt2", "bert"])
def test_the_ids_are_those_of_tokenizer_json(tmp_path, kind):
    folder = write_folder(tmp_path / "m", kind).path
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ours = build_tokenizer(metadata_of(folder))
    for text in (*TEXTS, "the cat unsat on mates"):
        assert (
            ours.encode(text, add_special=False)
            == theirs.encode(text, add_special_tokens=False).ids
        ), text
    assert ours.encode("the")[:1] == ([2] if kind == "bert" else theirs.encode("the").ids[:1])


@pytest.mark.parametrize(
    ("kind", "prefix"), [("llama", True), ("mistral", True), ("phi3", True), ("gemma2", False)]
)
def test_the_ids_are_those_of_tokenizer_model(tmp_path, kind, prefix):
    folder = write_folder(tmp_path / "m", kind).path
    theirs = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    metadata = metadata_of(folder)
    ours = build_tokenizer(metadata)
    for text in ("the cat sat", "a red barn \u00e9!"):
        expected = theirs.encode(text)
        if prefix:
            assert ours.encode(text, add_special=False) == expected, text
        assert ours.encode(f" {text}", add_special=False)[-len(expected) :] == expected
    assert metadata.get("tokenizer.ggml.add_space_prefix", True) is prefix


def test_tokens_have_their_types(tmp_path):
    folder = write_folder(tmp_path / "m", "llama").path
    metadata = metadata_of(folder)
    texts = [text.decode() for text in metadata["tokenizer.ggml.tokens"]]
    types = metadata.integers("tokenizer.ggml.token_type")
    kinds = dict(zip(texts, types, strict=True))
    assert (kinds["<unk>"], kinds["<s>"], kinds["<0x41>"], kinds["\u2581the"]) == (2, 3, 6, 1)
    assert kinds["<|user|>"] == 3


def test_added_tokens_are_of_the_users_own_type(tmp_path):
    metadata = metadata_of(write_folder(tmp_path / "m", "qwen2").path)
    texts = [text.decode() for text in metadata["tokenizer.ggml.tokens"]]
    types = metadata.integers("tokenizer.ggml.token_type")
    assert types[texts.index("<tool>")] == 4
    assert types[texts.index("<|end|>")] == 3
    assert metadata.integer("tokenizer.ggml.eos_token_id") == texts.index("<|end|>")
    assert metadata.boolean("tokenizer.ggml.add_bos_token") is True
    assert metadata.string("tokenizer.chat_template") == CHAT
    assert len(metadata["tokenizer.ggml.merges"]) == 6


def test_a_table_with_more_rows_than_tokens_has_unused_ones(tmp_path):
    made = write_folder(tmp_path / "m", "qwen2")
    tokens = made.config["vocab_size"]
    config = {"vocab_size": tokens + 5}
    table = {
        f"{name}.weight": made.weights[f"{name}.weight"][[*range(tokens), *[0] * 5]]
        for name in ("model.embed_tokens", "lm_head")
    }
    padded = write_folder(tmp_path / "p", "qwen2", config=config, tensors=table)
    metadata = metadata_of(padded.path)
    assert metadata["tokenizer.ggml.tokens"][-1] == f"[PAD{tokens + 4}]".encode()
    assert metadata.integers("tokenizer.ggml.token_type")[-5:] == [5] * 5


def test_byte_pairs_with_bytes_for_what_is_unknown_get_scores(tmp_path):
    """As Mistral's and Llama 2's tokenizer.json without tokenizer.model."""
    folder = write_folder(tmp_path / "m", "llama").path
    pieces = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    (folder / "tokenizer.model").unlink()
    texts = [pieces.id_to_piece(n) for n in range(pieces.vocab_size())]
    merges = [
        [text[:cut], text[cut:]]
        for text in sorted((t for t in texts[259:] if len(t) > 1), key=texts.index)
        for cut in range(1, len(text))
        if {text[:cut], text[cut:]} <= set(texts)
    ]
    described = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": "\u2581"}],
        },
        "pre_tokenizer": None,
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "vocab": {text: number for number, text in enumerate(texts)},
            "merges": merges,
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(described))
    metadata = metadata_of(folder)
    assert metadata.string("tokenizer.ggml.model") == "llama"
    ours = build_tokenizer(metadata)
    for text in ("the cat sat", "saw the old red barn \u00e9"):
        assert ours.encode(text, add_special=False) == pieces.encode(text)


# --- names of pre-tokenizers


@pytest.mark.parametrize(
    ("pattern", "ignore_merges", "name"),
    [
        (LLAMA3, True, "llama3"),
        (LLAMA3, False, "dbrx"),
        (QWEN2, False, "qwen2"),
        (None, False, "gpt-2"),
    ],
)
def test_a_pre_tokenizer_is_known_by_how_it_cuts(tmp_path, pattern, ignore_merges, name):
    write_byte_pairs(tmp_path, pattern, ignore_merges=ignore_merges)
    assert pretokenizer_name(tmp_path / "tokenizer.json") == name


def test_one_that_cuts_otherwise_is_refused(tmp_path):
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("e", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelFileError, match="in a way that is not known"):
        pretokenizer_name(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("name", ["gpt-2", "llama-bpe", "qwen2"])
def test_the_hashes_are_of_the_text_that_llama_cpp_uses(shared_data, name):
    import hashlib

    (path,) = shared_data("vocabs").rglob(f"ggml-vocab-{name}.gguf")
    ids = build_tokenizer(GGUF.open(path).metadata).encode(CHECK)
    assert HASHES[hashlib.sha256(str(ids).encode()).hexdigest()] == name


# --- bad input

PIECES = '{"model": {"type": "BPE", "byte_fallback": true, "vocab": {"a": 0}, %s}}'


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("tokenizer.json", "{", "is not JSON"),
        ("tokenizer.json", "[]", "holds no JSON object"),
        ("tokenizer.json", '{"model": {"type": "Unigram"}}', "'Unigram'"),
        ("tokenizer.json", '{"model": {"type": "BPE"}}', "its vocabulary cannot be read"),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": {"a": 999999}}}', "999999"),
        ("tokenizer.json", '{"model": []}', "type is None"),
        ("tokenizer.json", '{"model": null}', "type is None"),
        ("tokenizer.json", PIECES % '"merges": [5]', "its merges or its normalizer cannot be read"),
        ("tokenizer.json", PIECES % '"merges": 5', "its merges or its normalizer cannot be read"),
        ("tokenizer.json", PIECES % '"x": 1}, "normalizer": {"normalizers": [3]', "its normalizer"),
        ("config.json", "nothing", "is not JSON"),
        ("tokenizer_config.json", '{"chat_template": [5]}', "do not belong together"),
        ("generation_config.json", '{"temperature": "warm"}', "that no key can hold"),
        ("README.md", "---\na: [\n---\n", "model card"),
    ],
)
def test_a_damaged_tokenizer_is_refused(tmp_path, capfd, file, text, said):
    folder = write_folder(tmp_path / "m", "qwen2").path
    (folder / file).write_text(text)
    assert run(["convert", str(folder), str(tmp_path / "out.gguf")]) == 3
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    "entries",
    ['{"x": {"content": "a"}}', '{"3": {}}', '{"3": 5}', "[1]", '{"-1": {"content": ""}}'],
)
def test_added_tokens_that_are_none_are_refused(tmp_path, capfd, entries):
    folder = write_folder(tmp_path / "m", "llama").path
    (folder / "tokenizer_config.json").write_text(f'{{"added_tokens_decoder": {entries}}}')
    assert run(["convert", str(folder), str(tmp_path / "out.gguf")]) == 3
    assert "its added tokens cannot be read" in capfd.readouterr().err


def test_what_is_no_sentencepiece_model_is_refused(tmp_path, capfd):
    folder = write_folder(tmp_path / "m", "llama").path
    (folder / "tokenizer.model").write_bytes(b"nothing like it")
    assert run(["convert", str(folder), str(tmp_path / "out.gguf")]) == 3
    assert "is no SentencePiece model" in capfd.readouterr().err
