"""Writes model files of real shapes with random weights, for benchmarks without downloads.

    python benchmarks/shapes.py llama1b model.gguf --type Q4_0 --vocab ggml-vocab-llama-bpe.gguf
    python benchmarks/shapes.py qwen35-0.8b model.gguf --type Q4_K_M
    python benchmarks/shapes.py qwen05 model.gguf --type IQ4_XS --source qwen05-f16.gguf

Other types are made from an F16 file (--source) by llama.cpp, in an interpreter that has
llama-cpp-python (--python). Without --vocab the vocabulary is made up, at the real size.
"""

import argparse
import itertools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase

import gguf
import numpy as np
from families import SHAPES, WORD_PIECES, Planned, Shape, plan_tensors
from random_weights import fill, mixed

from quant.format import FORMATS, row_bytes
from quant.gguf import GGUF, SCALARS, Value
from quant.strings import Strings

LLAMACPP = Path(__file__).with_name("llamacpp.py")
MIXTURE = "Q4_K_M"  # of formats, as llama.cpp mixes them
FOUR_BIT_EXPERTS = "MXFP4"  # those of experts, and the other matrices in Q8_0, as gpt-oss has them
TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 7, MIXTURE: 15, FOUR_BIT_EXPERTS: 38}
"""What is written here, with its general.file_type."""
NORMAL, CONTROL = 1, 3  # kinds of tokens


def write_shape(name: str, out: Path, kind: str, vocabulary: Path | None = None) -> None:
    """A shape's file; `kind`: one of TYPES. Tensor by tensor, so that it takes little memory."""
    writer, planned = begin_file(name, out, kind, vocabulary)
    for tensor in planned:
        writer.write_tensor_data(fill(tensor))
    writer.close()


def begin_file(
    name: str, out: Path, kind: str, vocabulary: Path | None = None
) -> tuple[gguf.GGUFWriter, list[Planned]]:
    """All of a shape's file but the bytes of its tensors, which are to be written in this order."""
    shape = SHAPES[name]
    writer = gguf.GGUFWriter(out, shape.architecture)
    writer.add_name(f"{name} with random weights")
    writer.add_file_type(TYPES[kind])
    tokens = _copy_vocabulary(writer, vocabulary) if vocabulary else _make_vocabulary(writer, shape)
    _add_sizes(writer, shape, tokens)
    planned = list(_in_formats(shape, kind, tokens))
    for tensor in planned:
        size = row_bytes(tensor.format, tensor.shape[-1])
        raw = (*tensor.shape[:-1], size)
        wanted = gguf.GGMLQuantizationType(tensor.format.id)
        count = int(np.prod(raw, dtype=np.int64))
        writer.add_tensor_info(tensor.name, raw, np.dtype(np.uint8), count, wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return writer, planned


def _in_formats(shape: Shape, kind: str, tokens: int) -> Iterator[Planned]:
    if kind == FOUR_BIT_EXPERTS:
        planned = plan_tensors(shape, FORMATS["Q8_0"], tokens)
        return (
            replace(each, format=FORMATS[kind]) if "_exps.w" in each.name else each
            for each in planned
        )
    if kind != MIXTURE:
        return plan_tensors(shape, FORMATS[kind], tokens)
    planned = plan_tensors(shape, FORMATS["Q4_K"], tokens)
    return (replace(each, format=mixed(each, shape.L, tied=shape.tied)) for each in planned)


def _add_sizes(writer: gguf.GGUFWriter, shape: Shape, tokens: int) -> None:
    for key, value in {"vocab_size": tokens, **shape.all_keys()}.items():
        name = f"{shape.architecture}.{key}"
        if isinstance(value, list):
            writer.add_array(name, value)
        else:
            _add_value(writer, name, value)


def _copy_vocabulary(writer: gguf.GGUFWriter, source: Path) -> int:
    """Copies every key of the tokenizer; returns the number of tokens."""
    metadata = GGUF.open(source).metadata
    for key, value in metadata.items():
        if key.startswith("tokenizer."):
            _add_value(writer, key, value)
    tokens = metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, Strings)
    return len(tokens)


def _add_value(writer: gguf.GGUFWriter, key: str, value: Value) -> None:
    kinds = gguf.GGUFValueType
    if isinstance(value, Strings):
        writer.add_key_value(key, list(value), kinds.ARRAY, sub_type=kinds.STRING)
    elif isinstance(value, np.ndarray):
        found = next(number for number, dtype in SCALARS.items() if dtype == value.dtype)
        writer.add_key_value(key, value.tolist(), kinds.ARRAY, sub_type=kinds(found))
    elif isinstance(value, int) and not isinstance(value, bool):
        writer.add_uint32(key, value)
    else:
        writer.add_key_value(key, value, kinds.get_type(value))


def _make_vocabulary(writer: gguf.GGUFWriter, shape: Shape) -> int:
    """A byte-level BPE: every short string of bytes is a token, the shortest first.

    Of encoders WordPiece: short strings of letters are words, single ones also stand within words.
    """
    if shape.pre_tokenizer == WORD_PIECES:
        return _make_word_pieces(writer, shape)
    tokens, merges = byte_pairs(shape.V - 1)
    end = "<|endoftext|>"
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(shape.pre_tokenizer)
    writer.add_token_list([*tokens, end])
    writer.add_token_types([*[NORMAL] * len(tokens), CONTROL])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens))
    writer.add_eos_token_id(len(tokens))
    writer.add_add_bos_token(False)
    return shape.V


def _make_word_pieces(writer: gguf.GGUFWriter, shape: Shape) -> int:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    strings = map("".join, _strings())
    words = [f"▁{word}" for word in itertools.islice(strings, shape.V - len(special) - 26)]
    tokens = [*special, *ascii_lowercase, *words]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(tokens)
    writer.add_token_types([*[CONTROL] * len(special), *[NORMAL] * (len(tokens) - len(special))])
    writer.add_token_type_count(2)
    for name, token in (("unknown", 1), ("cls", 2), ("seperator", 3), ("padding", 0)):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
    return shape.V


def _strings() -> Iterator[tuple[str, ...]]:
    """All strings of letters, the shortest first."""
    lengths = itertools.count(1)
    return (each for n in lengths for each in itertools.product(ascii_lowercase, repeat=n))


def byte_pairs(count: int) -> tuple[list[str], list[str]]:
    """`count` tokens and their merges: each is a known string and one more byte."""
    letters = byte_letters()
    tokens, merges = list(letters), list[str]()
    for known in tokens:  # it grows during the loop
        for letter in letters:
            if len(tokens) == count:
                return tokens, merges
            tokens.append(known + letter)
            merges.append(f"{known} {letter}")
    raise AssertionError("the list grows for ever")


def byte_letters() -> list[str]:
    """GPT-2's character for each byte: printable ones are themselves, others follow U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(0x100)
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def requantize(python: str, source: Path, out: Path, kind: str) -> None:
    """Raises CalledProcessError when llama.cpp cannot make it."""
    subprocess.run([python, str(LLAMACPP), "quantize", str(source), str(out), kind], check=True)


def main(words: Sequence[str]) -> None:
    description = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("name", choices=sorted(SHAPES))
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", default="Q4_0", help=f"one of {', '.join(TYPES)}, or llama.cpp's")
    parser.add_argument("--vocab", type=Path, help="a GGUF file whose vocabulary is taken over")
    parser.add_argument("--source", type=Path, help="the F16 file that llama.cpp converts")
    parser.add_argument("--python", default=sys.executable, help="that has llama-cpp-python")
    given = parser.parse_args(words)
    if given.type in TYPES:
        write_shape(given.name, given.out, given.type, given.vocab)
    elif given.source is None:
        parser.error(f"{given.type} is made from an F16 file: give it as --source")
    else:
        requantize(given.python, given.source, given.out, given.type)


if __name__ == "__main__":
    main(sys.argv[1:])
