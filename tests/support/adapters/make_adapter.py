"""Small adapters and control vectors with random values, for models of `make_gguf.py`.

write_lora(tmp_path / "a.gguf", model)                      # beside all matrices of the blocks
write_lora(path, model, names=["output.weight"], alpha=0, rank=2)
write_vector(path, width=64, layers=[1])
write_merged(path, "llama", adapter, scale=0.5)             # the model with W + s·B A
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from make_gguf import NOTHING, write_model

from quant.bits import Floats
from quant.format import FORMATS, Format, dequantize, quantize
from quant.gguf import GGUF, Tensor

TABLE = "token_embd.weight"
ADAPTER: Mapping[str, Any] = {"general.type": "adapter", "adapter.type": "lora"}


def matrices(model: Path) -> list[str]:
    """The names of the matrices in a model's blocks."""
    tensors = GGUF.open(model).tensors.items()
    named = [name for name, each in tensors if len(each.shape) > 1 and name.endswith(".weight")]
    return [name for name in named if name.removeprefix("enc.").removeprefix("dec.")[:4] == "blk."]


def write_lora(
    path: Path,
    model: Path,
    names: Collection[str] | None = None,
    *,
    rank: int = 4,
    weights: str = "F32",
    alpha: float = 8.0,
    seed: int = 5,
    metadata: Mapping[str, Any] = NOTHING,
    tensors: Mapping[str, Floats | None] = NOTHING,
) -> Path:
    """Beside the named tensors; `metadata` and `tensors` replace and add, None leaves out.

    `weights` is the format of the halves; its blocks have to fit the rank, too.
    """
    file, random = GGUF.open(model), np.random.default_rng(seed)
    halves: dict[str, Floats | None] = {}
    for name in matrices(model) if names is None else names:
        *experts, rows, columns = file.tensors[name].shape
        a, b = ((rows, rank), (columns, rank)) if name == TABLE else ((rank, columns), (rows, rank))
        halves[f"{name}.lora_a"] = _normal(random, (*experts, *a))
        halves[f"{name}.lora_b"] = _normal(random, (*experts, *b))
    architecture = file.metadata.string("general.architecture")
    keys = {**ADAPTER, "general.name": "made", "adapter.lora.alpha": alpha, **metadata}
    made = keys.pop("general.architecture", architecture)
    return _write(path, made, keys, {**halves, **tensors}, FORMATS[weights])


def write_vector(
    path: Path, width: int = 64, layers: Sequence[int] = (1,), *, seed: int = 6
) -> Path:
    random = np.random.default_rng(seed)
    found: dict[str, Floats | None] = {
        f"direction.{layer}": _normal(random, (width,)) for layer in layers
    }
    return _write(path, "controlvector", {"controlvector.model_hint": "llama"}, found)


def write_merged(path: Path, preset: str, model: Path, adapter: Path, scale: float = 1.0) -> Path:
    """The model with the adapter's products added to its weights; both in F32."""
    base, halves = GGUF.open(model).tensors, GGUF.open(adapter)
    alpha = halves.metadata.number("adapter.lora.alpha")
    found = {name: tensor for name, tensor in base.items() if tensor.format.dequantize}
    merged: dict[str, Any] = {name: _floats(tensor) for name, tensor in found.items()}
    for name in {each.rpartition(".")[0] for each in halves.tensors}:
        a, b = (_floats(halves.tensors[f"{name}.lora_{half}"]) for half in "ab")
        change = a @ b.T if name == TABLE else b @ a
        factor = alpha / b.shape[-1] if alpha else 1.0
        merged[name] = merged[name] + np.float32(scale * factor) * change
    return write_model(path, preset, tensors=merged)


def _floats(tensor: Tensor) -> Floats:
    return dequantize(tensor.format, tensor.data).reshape(tensor.shape)


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return random.standard_normal(shape, dtype=np.float32) * np.float32(shape[-1] ** -0.5)


def _write(
    path: Path,
    architecture: str,
    keys: Mapping[str, Any],
    tensors: Mapping[str, Floats | None],
    kind: Format = FORMATS["F32"],
) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        if value is not None:
            writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    for name, values in tensors.items():
        if values is not None:
            raw = quantize(kind, values)
            writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType(kind.id))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
