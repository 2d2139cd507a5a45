"""Tiny vocabularies as metadata, one for each tokenizer model, for tests to change and build."""

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from lepton_cli.engine.text.tokenizer.spellers.byte_pairs import ByteAlphabet
from lepton_cli.engine.text.tokenizer.vocabulary import TokenType
from quant.gguf import Metadata
from quant.strings import Strings, find_starts

N, U, C, D, X, B = (TokenType(value) for value in range(1, 7))
BYTES = [(f"<0x{byte:02X}>", B) for byte in range(256)]


def strings(texts: list[bytes]) -> Strings:
    """An array of strings as it is mapped from a file."""
    raw = b"".join(len(text).to_bytes(8, "little") + text for text in texts)
    buffer = mmap.mmap(-1, max(1, len(raw)))
    buffer.write(raw)
    starts = find_starts(buffer, 0, len(texts))
    assert starts is not None, "the buffer holds them all"
    return Strings(buffer, starts)


def metadata(keys: Mapping[str, Any]) -> Metadata:
    """Lists become arrays of strings."""
    values = {key: strings(each) if isinstance(each, list) else each for key, each in keys.items()}
    pairs = {f"tokenizer.ggml.{key}" if "." not in key else key: values[key] for key in values}
    return Metadata(Path("tiny.gguf"), pairs)


def vocabulary(tokens: list[tuple[str, TokenType]]) -> dict[str, Any]:
    texts = [text.encode() for text, _ in tokens]
    return {"tokens": texts, "token_type": np.array([kind for _, kind in tokens], np.int32)}


def sentence_pieces(*more: tuple[str, TokenType]) -> dict[str, Any]:
    """Words, and pieces that would merge into `</s>` and `<|im_end|>` if any text could."""
    letters = "▁abcdefghijklmnopqrstuvwxyz<|>_/"
    words = ("he", "ll", "▁he", "llo", "▁hello", "</", "s>")
    marks = ("<|", "<|i", "<|im", "<|im_", "en", "end", "end|", "end|>")
    normal = [(text, N) for text in (*letters, *words, *marks)]
    tokens = [("<unk>", U), ("<s>", C), ("</s>", C), *BYTES, *normal, *more]
    scores = np.array([-float(i) for i in range(len(tokens))], np.float32)
    return {"model": "llama", **vocabulary(tokens), "scores": scores}


MERGES = [
    *("h e", "l l", "ll o", "he llo", "t o", "to o", "too l"),
    *("< |", "i m", "<| im", "<|im _", "e n", "en d", "<|im_ end", "| >", "<|im_end |>"),
]


def byte_pairs(*more: tuple[str, TokenType], pre: str = "gpt-2") -> dict[str, Any]:
    """Bytes, words, and merges that would make `<|im_end|>` if any text could."""
    merges = [*MERGES, "Ġ hello", "Ċ Ċ"]
    normal = [(text, N) for text in [*ByteAlphabet().characters, *_merged(merges)]]
    pairs = {"pre": pre, "merges": [pair.encode() for pair in merges]}
    return {"model": "gpt2", **vocabulary([*normal, *more]), **pairs}


def gemma4(*more: tuple[str, TokenType]) -> dict[str, Any]:
    """The same without byte mapping."""
    special = [("<pad>", C), ("<eos>", C), ("<bos>", C), ("<unk>", U), *BYTES]
    normal = [(text, N) for text in ["▁", *"helotimnd\n<|>_", *_merged(MERGES)]]
    pairs = {"merges": [pair.encode() for pair in MERGES]}
    return {"model": "gemma4", **vocabulary([*special, *normal, *more]), **pairs}


def _merged(merges: list[str]) -> list[str]:
    """The tokens that merges make, but for the control token among them."""
    return [text for pair in merges if (text := pair.replace(" ", "")) != "<|im_end|>"]


def word_pieces(*more: tuple[str, TokenType]) -> dict[str, Any]:
    special = [("[PAD]", C), ("[UNK]", U), ("[CLS]", C), ("[SEP]", C)]
    words = ["▁un", "aff", "able", "▁,", "▁cafe", "▁中", "▁文", "▁!", "▁it", "▁'", "▁s"]
    roles = {"unknown_token_id": 1, "cls_token_id": 2, "seperator_token_id": 3}
    return {
        "model": "bert",
        **vocabulary([*special, *((word, N) for word in words), *more]),
        **roles,
    }


def longest_matches(*more: tuple[str, TokenType]) -> dict[str, Any]:
    """RWKV's: escaped bytes but for 0, and words."""
    named = {9: r"\t", 10: r"\n", 13: r"\r", 92: "\\\\"}
    plain = {byte: chr(byte) for byte in range(32, 127)} | named
    texts = [plain.get(byte, rf"\x{byte:02x}") for byte in range(1, 256)]
    words = ("he", "hello", "lo wor", r"\n\n", r"\xe4\xb8\xad")
    tokens = [("<s>", C), *((text, N) for text in (*texts, *words)), *more]
    return {"model": "rwkv", **vocabulary(tokens)}


def best_scores() -> dict[str, Any]:
    """PLaMo 2's: bytes, letters, and words that compete."""
    special = [("<|plamo:unk|>", U), ("<|plamo:bos|>", C), ("<|plamo:eos|>", C), *BYTES]
    scored = {"a": -3.0, "b": -3.0, "c": -3.0, " ": -2.0, "ab": -2.0, "bc": -2.5, "abc": -5.0}
    scored |= {"cab": -1.0, "中": -4.0, "cc": -6.0}
    tokens = [*special, *((text, N) for text in scored)]
    scores = np.array([0.0] * len(special) + [*scored.values()], np.float32)
    return {"model": "plamo2", **vocabulary(tokens), "scores": scores}


def unigram(*more: tuple[str, TokenType]) -> dict[str, Any]:
    """T5's and XLM-R's: letters, and words that compete; `x` is in words only."""
    special = [("<pad>", C), ("</s>", C), ("<unk>", U), ("<s>", C)]
    scored = {"▁": -2.0, "a": -3.0, "b": -3.0, "c": -3.0, "é": -4.0, "ab": -4.0, "bc": -4.5}
    scored |= {"▁a": -4.0, "▁ab": -5.5, "abc": -9.0, "cab": -5.0, "xa": -6.0, "▁▁": -5.0}
    tokens = [*special, *((text, N) for text in scored), *more]
    scores = [*[0.0] * len(special), *scored.values(), *[-9.0] * len(more)]
    return {"model": "t5", **vocabulary(tokens), "scores": np.array(scores, np.float32)}


def character_map(replacements: Mapping[str, str]) -> np.ndarray:
    """A map of characters as the files have it: a double array of the texts."""
    texts = {text.encode(): replacement for text, replacement in replacements.items()}
    units, strings, left = {0: 0}, b"", [(0, b"")]
    while left:
        place, begun = left.pop()
        labels = sorted({text[len(begun)] for text in texts if _goes_on(text, begun)})
        places = ({n ^ label for label in (0, *labels)} for n in range(1 << 12))
        node = next(n for n, wanted in enumerate(places) if wanted.isdisjoint(units))
        units[place] |= (place ^ node) << 10
        units[node] = 0  # no other node may be here
        if begun in texts:
            units[place] |= 1 << 8
            units[node] = 1 << 31 | len(strings)
            strings += texts[begun].encode() + b"\0"
        for label in labels:
            units[node ^ label] = label
            left.append((node ^ label, begun + bytes([label])))
    trie = [units.get(place, 0) for place in range((max(units) | 0xFF) + 1)]
    blob = struct.pack(f"<I{len(trie)}I", 4 * len(trie), *trie) + strings
    return np.frombuffer(blob, np.uint8)


def _goes_on(text: bytes, begun: bytes) -> bool:
    return text.startswith(begun) and len(text) > len(begun)


def build(keys: Mapping[str, Any]) -> Tokenizer:
    return build_tokenizer(metadata(keys))
