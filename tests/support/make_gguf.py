"""Tiny GGUF files with random weights, of every architecture: models for tests without shared data.

    write_model(tmp_path / "a.gguf")                                    # a llama in F32
    write_model(path, "qwen3moe", weights="Q4_K", seed=7)
    write_model(path, metadata={"tokenizer.chat_template": CHATML})
    write_model(path, metadata={"llama.block_count": None}, tensors={"output_norm.weight": None})

The architectures and the letters of their shapes are in `presets_gguf.py`.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf
import numpy as np
from preset_parts import Preset
from preset_tokenizers import bert_tokenizer, gpt2_tokenizer, llama_tokenizer, t5_tokenizer
from presets_gguf import PRESETS

from quant.bits import Blocks, Bytes, Floats, half_bits
from quant.format import FORMATS, Format, dequantize, quantize, row_bytes

TOKENIZERS = {
    "gpt2": gpt2_tokenizer,
    "bert": bert_tokenizer,
    "t5": t5_tokenizer,
    "t5encoder": t5_tokenizer,
}
NOTHING: Mapping[str, Any] = MappingProxyType({})

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_model(
    path: Path,
    preset: str = "llama",
    *,
    weights: str = "F32",
    seed: int = 0,
    metadata: Mapping[str, Any] = NOTHING,
    tensors: Mapping[str, str | Floats | None] = NOTHING,
    dimensions: Mapping[str, int] = NOTHING,
) -> Path:
    """Writes the file and returns its path. `weights` is the format of all matrices.

    `metadata` (full keys) and `tensors` (values, stored as F32, or the letters of a shape) replace
    and add; what is None there is left out. `dimensions` replaces sizes by letter, `L` is layers.
    """
    chosen = PRESETS[preset]
    tokenizer = TOKENIZERS.get(chosen.architecture, llama_tokenizer)()
    V = len(tokenizer["tokenizer.ggml.tokens"])
    sizes = _dimensions(FORMATS[weights], V, {**chosen.dimensions, **dimensions})
    keys = {f"{chosen.architecture}.{key}": value for key, value in _keys(chosen, sizes).items()}
    writer = gguf.GGUFWriter(path, chosen.architecture)
    general = {"general.name": f"tiny {preset}"}
    for key, value in {**general, **tokenizer, **keys, **chosen.bare_keys, **metadata}.items():
        if value is not None:
            _add_key(writer, key, value)
    random = np.random.default_rng(seed)
    for name, given in {**_tensors(chosen, sizes["L"]), **tensors}.items():
        if given is not None:
            _add_tensor(writer, name, given, FORMATS[weights], sizes, random)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def random_weights(
    kind: Format, shape: tuple[int, ...], std: float, random: np.random.Generator
) -> Bytes:
    """Bytes of normally distributed weights, or, where we cannot quantize, of random valid blocks.

    Such blocks get scales that make their mean nearly zero and their standard deviation `std`.
    """
    if kind.quantize:
        return quantize(kind, random.standard_normal(shape, dtype=np.float32) * np.float32(std))
    raw = random.integers(0, 256, (*shape[:-1], row_bytes(kind, shape[-1])), dtype=np.uint8)
    blocks = raw.reshape(-1).view(kind.block)
    scales = {"d": random.uniform(0.5, 1.5, (len(blocks), 1)).astype(np.float32)}
    if "dmin" in (kind.block.names or ()):
        scales["dmin"] = scales["d"] * _balance(kind, raw)
    else:
        scales["d"][::2] *= -1
    _scale(kind, blocks, scales, np.float32(1))
    _scale(kind, blocks, scales, np.float32(std / dequantize(kind, raw).std()))
    return raw


def _scale(kind: Format, blocks: Blocks, scales: Mapping[str, Floats], factor: np.float32) -> None:
    for name, scale in scales.items():
        bits = half_bits(scale * factor)
        if kind.name == "NVFP4":  # each a positive E4M3: eight bits less of an f16's magnitude
            blocks["scales"] = half_bits(np.abs(scale * factor) / 256)[:, None] + 64 >> 7
        elif kind.name == "IQ1_M":  # d is in the upper four bits of each
            parts = bits[:, None] << np.array([12, 8, 4, 0], np.uint16) & np.uint16(0xF000)
            blocks["scales"] = blocks["scales"] & np.uint16(0xFFF) | parts
        else:
            blocks[name] = bits


def _balance(kind: Format, raw: Bytes) -> np.float32:
    """The ratio of `dmin` to `d` at which the weights' mean is zero."""
    blocks = raw.reshape(-1).view(kind.block)
    one = half_bits(np.ones((len(blocks), 1), np.float32))
    blocks["d"], blocks["dmin"] = one, 0
    above = dequantize(kind, raw).mean()
    blocks["d"], blocks["dmin"] = 0, one
    return np.float32(-above / dequantize(kind, raw).mean())


def _dimensions(kind: Format, V: int, changed: Mapping[str, int]) -> dict[str, int]:
    width = max(64, kind.block_size)
    sizes = {"V": V, "T": 256, "L": 2, "D": width, "H": 4, "K": 2, "F": 2 * width, "E": 4}
    sizes |= changed
    sizes.setdefault("d", sizes["D"] // 4)  # not by H: in qwen3 and others A is not D
    A, B = sizes["H"] * sizes["d"], sizes["K"] * sizes["d"]
    return sizes | {
        "1": 1,
        "A": A,
        "B": B,
        "C": A + 2 * B,
        "G": 2 * sizes["F"],
        "R": sizes["d"] // 2,
    }


def _keys(preset: Preset, sizes: Mapping[str, int]) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "vocab_size": sizes["V"],
        "context_length": sizes["T"],
        "embedding_length": sizes["D"],
        "block_count": sizes["L"],
        "feed_forward_length": sizes["F"],
        "attention.head_count": sizes["H"],
        "attention.head_count_kv": sizes["K"],
        "attention.key_length": sizes["d"],
        "attention.value_length": sizes["d"],
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
    }
    if preset.architecture != "gpt2":
        keys |= {"rope.dimension_count": sizes["d"], "rope.freq_base": 10000.0}
    if "ffn_up_exps.weight" in preset.block:
        keys["expert_feed_forward_length"] = sizes["F"]
    return keys | dict(preset.keys)


def _tensors(preset: Preset, layers: int) -> dict[str, str]:
    blocks = {
        _of_block(name, layer): shape
        for layer in range(layers)
        for name, shape in {**preset.block, **preset.layers.get(layer, {})}.items()
        if shape
    }
    return dict(preset.top) | blocks


def _of_block(name: str, layer: int) -> str:
    stack = name[:4] if name.startswith(("enc.", "dec.")) else ""
    return f"{stack}blk.{layer}.{name.removeprefix(stack)}"


def _add_key(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, np.ndarray):
        kind = gguf.GGUFValueType[value.dtype.name.upper()]
        writer.add_key_value(key, value.tolist(), gguf.GGUFValueType.ARRAY, sub_type=kind)
    elif isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, int) and not isinstance(value, bool):
        writer.add_uint32(key, value)
    else:
        writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))


def _add_tensor(
    writer: Any,
    name: str,
    given: str | Floats,
    kind: Format,
    sizes: Mapping[str, int],
    random: np.random.Generator,
) -> None:
    if isinstance(given, np.ndarray):
        writer.add_tensor(name, given.astype(np.float32))
        return
    shape = tuple(sizes[letter] for letter in given)
    if "tid2eid" in name:  # the experts of each token
        ids = np.arange(shape[0])[:, None] * 7 + np.arange(shape[1]) * 3
        writer.add_tensor(name, (ids % sizes["E"]).astype(np.int32))
        return
    if _is_matrix(name, shape) and shape[-1] % kind.block_size == 0:
        raw = random_weights(kind, shape, 2 * shape[-1] ** -0.5, random)
        writer.add_tensor(name, raw.view(np.int8), shape, kind.id)  # the package may not know it
    else:
        x = random.standard_normal(shape, dtype=np.float32)
        writer.add_tensor(name, _vector(name, x))


def _is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    kept = ("ffn_gate_inp", "position_embd", "token_types", "conv1d")
    return len(shape) > 1 and name.endswith("weight") and not any(part in name for part in kept)


def _vector(name: str, x: Floats) -> Floats:
    if "rope_f" in name:
        return np.float32(1) + np.abs(x)
    if name.endswith("ssm_a"):  # the logarithm of a decay
        return -np.abs(x)
    offset = 1 if "_norm.weight" in name else 0
    return offset + x / np.float32(10)
