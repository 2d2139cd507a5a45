"""Writes model files of real shapes with random weights, for benchmarks without downloads.

    python benchmarks/shapes.py llama1b model.gguf --type Q4_0 --vocab ggml-vocab-llama-bpe.gguf
    python benchmarks/shapes.py qwen05 model.gguf --type Q4_K_M --source qwen05-f16.gguf

Types that Lepton cannot write are made from an F16 file (--source) by llama.cpp, in an interpreter
that has llama-cpp-python (--python). Without --vocab the vocabulary is made up, at the real size.
"""

import argparse
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from quant.bits import Floats
from quant.format import FORMATS, Format, quantize, row_bytes
from quant.gguf import GGUF, SCALARS, Strings, Value

LLAMACPP = Path(__file__).with_name("llamacpp.py")
TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 7}  # that Lepton writes: general.file_type
F32 = FORMATS["F32"]
ROWS = 4096  # of a matrix that are made at a time
NORMAL, CONTROL = 1, 3  # kinds of tokens


@dataclass(frozen=True, slots=True)
class Delta:
    """The gated delta nets of all layers but each `interval`th; heads of keys and of values."""

    key_heads: int
    heads: int
    width: int
    taps: int
    interval: int
    rotary: int  # dimensions that turn, in layers of attention

    @property
    def channels(self) -> int:
        return (2 * self.key_heads + self.heads) * self.width


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's dimensions, by our usual letters."""

    architecture: str
    pre_tokenizer: str
    V: int
    L: int
    D: int
    H: int
    K: int
    d: int
    F: int
    context: int
    rope_base: float
    epsilon: float
    biases: bool  # of q, k and v
    tied: bool = True  # the output matrix is the embedding's
    delta: Delta | None = None


@dataclass(frozen=True, slots=True)
class Gemma4Shape(Shape):
    """Global layers have heads of `d_global`, the others heads of d and a window.

    The last `shared` layers have no keys and values, and twice the feed-forward width. A second
    table holds P columns for each layer.
    """

    period: int = 5  # one layer in so many is global
    d_global: int = 512
    window: int = 512
    shared: int = 20
    P: int = 256

    def is_local(self, layer: int) -> bool:
        return (layer + 1) % self.period != 0

    def is_own(self, layer: int) -> bool:
        """Whether it has keys and values."""
        return layer < self.L - self.shared

    def width(self, layer: int) -> int:
        """Of the feed-forward part."""
        return self.F if self.is_own(layer) else 2 * self.F


SHAPES: dict[str, Shape] = {
    "llama1b": Shape(
        *("llama", "llama-bpe", 128256, 16, 2048, 32, 8, 64, 8192),
        *(131072, 500000.0, 1e-5, False),
    ),
    "llama8b": Shape(
        *("llama", "llama-bpe", 128256, 32, 4096, 32, 8, 128, 14336),
        *(131072, 500000.0, 1e-5, False, False),
    ),
    "qwen05": Shape(
        *("qwen2", "qwen2", 151936, 24, 896, 14, 2, 64, 4864),
        *(32768, 1000000.0, 1e-6, True),
    ),
    "gemma4-e2b": Gemma4Shape(
        *("gemma4", "gpt-2", 262144, 35, 1536, 8, 1, 256, 6144),
        *(131072, 1000000.0, 1e-6, False),
    ),
    "qwen35-08": Shape(
        *("qwen35", "qwen35", 248320, 24, 1024, 8, 2, 256, 3584),
        *(262144, 10000000.0, 1e-6, False),
        delta=Delta(16, 16, 128, 4, 4, 64),
    ),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned tensor; without deviation it is a vector of ones."""

    name: str
    format: Format
    shape: tuple[int, ...]
    deviation: float | None = None


def write_shape(name: str, out: Path, kind: str, vocabulary: Path | None = None) -> None:
    """Tensor by tensor, so that it takes little memory. The same weights in every type."""
    shape, random = SHAPES[name], np.random.default_rng(0)
    write_file(
        name,
        out,
        TYPES[kind],
        lambda tokens: plan_tensors(shape, FORMATS[kind], tokens),
        lambda tensor: weights(tensor, random),
        vocabulary,
    )


def write_file(
    name: str,
    out: Path,
    file_type: int,
    plan: Callable[[int], Iterable[Planned]],
    fill: Callable[[Planned], NDArray[np.uint8]],
    vocabulary: Path | None = None,
) -> None:
    """A shape's file with the tensors planned for this vocabulary size."""
    shape = SHAPES[name]
    writer = gguf.GGUFWriter(out, shape.architecture)
    writer.add_name(f"{name} with random weights")
    writer.add_file_type(file_type)
    tokens = _copy_vocabulary(writer, vocabulary) if vocabulary else _make_vocabulary(writer, shape)
    _add_sizes(writer, shape, tokens)
    planned = list(plan(tokens))
    for tensor in planned:
        size = row_bytes(tensor.format, tensor.shape[-1])
        raw = (*tensor.shape[:-1], size)
        wanted = gguf.GGMLQuantizationType(tensor.format.id)
        count = int(np.prod(raw, dtype=np.int64))
        writer.add_tensor_info(tensor.name, raw, np.dtype(np.uint8), count, wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in planned:
        writer.write_tensor_data(fill(tensor))
    writer.close()


def plan_tensors(shape: Shape, kind: Format, tokens: int) -> Iterator[Planned]:
    if isinstance(shape, Gemma4Shape):
        yield from plan_gemma4(shape, kind, tokens)
        return
    D, F = shape.D, shape.F
    yield Planned("token_embd.weight", kind, (tokens, D), 0.02)
    for layer in range(shape.L):
        here, delta = f"blk.{layer}.", shape.delta
        recurrent = delta is not None and (layer + 1) % delta.interval != 0
        mixing = delta_matrices(delta, D) if delta and recurrent else attention_matrices(shape)
        matrices = {**mixing, "ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}
        for name, (rows, columns) in matrices.items():
            yield Planned(f"{here}{name}.weight", kind, (rows, columns), columns**-0.5)
            if shape.biases and name in ("attn_q", "attn_k", "attn_v"):
                yield Planned(f"{here}{name}.bias", F32, (rows,), 0.1)
        yield Planned(f"{here}attn_norm.weight", F32, (D,))
        if delta is None:
            yield Planned(f"{here}ffn_norm.weight", F32, (D,))
            continue
        yield Planned(f"{here}post_attention_norm.weight", F32, (D,))
        if recurrent:
            yield Planned(f"{here}ssm_conv1d.weight", F32, (delta.channels, delta.taps), 0.5)
            for name in ("ssm_a", "ssm_dt.bias"):
                yield Planned(f"{here}{name}", F32, (delta.heads,), 0.1)
            yield Planned(f"{here}ssm_norm.weight", F32, (delta.width,))
        else:
            for name in ("attn_q_norm", "attn_k_norm"):
                yield Planned(f"{here}{name}.weight", F32, (shape.d,))
    yield Planned("output_norm.weight", F32, (D,))
    if not shape.tied:
        yield Planned("output.weight", kind, (tokens, D), 0.02)


def plan_gemma4(shape: Gemma4Shape, kind: Format, tokens: int) -> Iterator[Planned]:
    D, P, columns = shape.D, shape.P, shape.L * shape.P
    yield Planned("token_embd.weight", kind, (tokens, D), 0.02)
    yield Planned("per_layer_token_embd.weight", kind, (tokens, columns), 0.02)
    yield Planned("per_layer_model_proj.weight", kind, (columns, D), D**-0.5)
    yield Planned("per_layer_proj_norm.weight", F32, (P,))
    yield Planned("rope_freqs.weight", F32, (shape.d_global // 2,))
    yield Planned("output_norm.weight", F32, (D,))
    for layer in range(shape.L):
        d, F = shape.d if shape.is_local(layer) else shape.d_global, shape.width(layer)
        matrices = {"attn_q": (shape.H * d, D), "attn_output": (D, shape.H * d)}
        matrices |= {"ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}
        matrices |= {"inp_gate": (P, D), "proj": (D, P)}
        vectors = {"attn_q_norm": d, "layer_output_scale": 1}
        vectors |= dict.fromkeys(("attn_norm", "ffn_norm", "post_norm"), D)
        vectors |= dict.fromkeys(("post_attention_norm", "post_ffw_norm"), D)
        if shape.is_own(layer):
            matrices |= dict.fromkeys(("attn_k", "attn_v"), (shape.K * d, D))
            vectors["attn_k_norm"] = d
        for name, (rows, inner) in matrices.items():
            yield Planned(f"blk.{layer}.{name}.weight", kind, (rows, inner), inner**-0.5)
        for name, size in vectors.items():
            yield Planned(f"blk.{layer}.{name}.weight", F32, (size,))


def attention_matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    queries, keys = shape.H * shape.d, shape.K * shape.d
    return {
        "attn_q": (queries if shape.delta is None else 2 * queries, shape.D),  # with its gate
        "attn_k": (keys, shape.D),
        "attn_v": (keys, shape.D),
        "attn_output": (shape.D, queries),
    }


def delta_matrices(delta: Delta, D: int) -> dict[str, tuple[int, int]]:
    inner = delta.heads * delta.width
    return {
        "attn_qkv": (delta.channels, D),
        "attn_gate": (inner, D),
        "ssm_alpha": (delta.heads, D),
        "ssm_beta": (delta.heads, D),
        "ssm_out": (D, inner),
    }


def weights(tensor: Planned, random: np.random.Generator) -> NDArray[np.uint8]:
    """The tensor's bytes, drawn in a fixed order, in slices of rows."""
    if tensor.deviation is None:
        return quantize(tensor.format, np.ones(tensor.shape, np.float32))
    *rows, columns = tensor.shape
    total = int(np.prod(rows, dtype=np.int64))
    parts = []
    for start in range(0, total, ROWS):
        count = min(ROWS, total - start)
        values: Floats = random.standard_normal((count, columns), dtype=np.float32)
        if tensor.name.endswith("ssm_a"):  # logarithms of decays
            values = -np.abs(values)
        parts.append(quantize(tensor.format, values * np.float32(tensor.deviation)))
    return np.concatenate(parts)


def _add_sizes(writer: gguf.GGUFWriter, shape: Shape, tokens: int) -> None:
    writer.add_vocab_size(tokens)
    writer.add_block_count(shape.L)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.D)
    writer.add_head_count(shape.H)
    writer.add_head_count_kv(shape.K)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    if isinstance(shape, Gemma4Shape):
        _add_gemma4_sizes(writer, shape)
    else:
        writer.add_feed_forward_length(shape.F)
        writer.add_rope_dimension_count(shape.delta.rotary if shape.delta else shape.d)
    if shape.delta:
        writer.add_key_length(shape.d)
        writer.add_value_length(shape.d)
        _add_delta(writer, shape.delta)


def _add_gemma4_sizes(writer: gguf.GGUFWriter, shape: Gemma4Shape) -> None:
    """Keys without an ending are the global layers'."""
    layers = range(shape.L)
    writer.add_feed_forward_length([shape.width(layer) for layer in layers])
    writer.add_sliding_window(shape.window)
    writer.add_array("gemma4.attention.sliding_window_pattern", list(map(shape.is_local, layers)))
    for key, value in {
        "attention.key_length": shape.d_global,
        "attention.value_length": shape.d_global,
        "attention.key_length_swa": shape.d,
        "attention.value_length_swa": shape.d,
        "rope.dimension_count": shape.d_global,
        "rope.dimension_count_swa": shape.d,
        "attention.shared_kv_layers": shape.shared,
        "embedding_length_per_layer_input": shape.P,
    }.items():
        writer.add_uint32(f"gemma4.{key}", value)
    writer.add_float32("gemma4.rope.freq_base_swa", 10000.0)


def _add_delta(writer: gguf.GGUFWriter, delta: Delta) -> None:
    writer.add_ssm_conv_kernel(delta.taps)
    writer.add_ssm_state_size(delta.width)
    writer.add_ssm_group_count(delta.key_heads)
    writer.add_ssm_time_step_rank(delta.heads)
    writer.add_ssm_inner_size(delta.heads * delta.width)
    pairs = delta.rotary // 2
    height = pairs // 3
    writer.add_rope_dimension_sections([pairs - 2 * height, height, height, 0])
    writer.add_uint32(f"{writer.arch}.full_attention_interval", delta.interval)


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
    """A byte-level BPE: every short string of bytes is a token, the shortest first."""
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
    parser.add_argument("--type", default="Q4_0", help="F16, Q4_0, Q8_0, or a name of llama.cpp's")
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
