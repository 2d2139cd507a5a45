"""`lepton inspect`: what a model file says of itself, and what its tensors are made of.

Nothing here insists on a key: a file that cannot be run can still be looked into.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_cli.ui.figures import amount, columns, size
from lepton_cli.ui.output import Json, emit, emit_json, plain
from quant.gguf import GGUF, Strings, Value

SCHEMA = "lepton.inspect.v1"
SHOWN_ITEMS = 16  # of an array
LINE = 100  # characters of a metadata value


@dataclass(frozen=True, slots=True)
class Share:
    """What one format holds of the file's weights."""

    format: str
    tensors: int
    weights: int
    bytes: int


def show(file: GGUF, *, metadata: bool, tensors: bool) -> None:
    text = f"{file.path}\n" + columns([(f"  {name}", value) for name, value in _summary(file)])
    if metadata:
        rows = [(f"  {key}", _one_line(value)) for key, value in file.metadata.items()]
        text += "\nmetadata\n" + columns(rows)
    if tensors:
        text += "\n" + _tensor_table(file)
    emit(sys.stdout, text)


def show_template(file: GGUF) -> None:
    """The source of the chat template, byte for byte."""
    emit(sys.stdout, str(file.metadata.get("tokenizer.chat_template", "")) + "\n")


def show_json(file: GGUF, *, tensors: bool) -> None:
    architecture = _plain(file.metadata.get("general.architecture"))
    record: dict[str, Json] = {
        "schema": SCHEMA,
        "path": str(file.path),
        "version": file.version,
        "file_bytes": file.file_bytes,
        "architecture": architecture,
        "parameters": _parameters(file),
        "quantization": [asdict(share) for share in shares(file)],
        "context": _plain(file.metadata.get(f"{architecture}.context_length")),
        "tokenizer": _plain(file.metadata.get("tokenizer.ggml.model")),
        "template": "tokenizer.chat_template" in file.metadata,
        "metadata": {key: _plain(value) for key, value in file.metadata.items()},
    }
    if tensors:
        record["tensors"] = list(_tensor_records(file))
    emit_json(sys.stdout, record)


def shares(file: GGUF) -> list[Share]:
    """The formats of the file, the one with most weights first."""
    by_format: dict[str, Share] = {}
    for tensor in file.tensors.values():
        name = tensor.format.name
        before = by_format.get(name, Share(name, 0, 0, 0))
        by_format[name] = Share(
            name,
            before.tensors + 1,
            before.weights + tensor.size,
            before.bytes + tensor.data.nbytes,
        )
    return sorted(by_format.values(), key=lambda share: -share.weights)


def _summary(file: GGUF) -> Iterator[tuple[str, str]]:
    keys = file.metadata
    architecture = str(keys.get("general.architecture", "not named"))
    yield "file", f"{size(file.file_bytes)}, GGUF version {file.version}"
    if "general.name" in keys:
        yield "name", _one_line(keys["general.name"])
    yield "architecture", architecture
    yield "parameters", f"{amount(_parameters(file))} in {len(file.tensors)} tensors"
    yield "quantization", _mix(file)
    for title, key in (
        ("context", "context_length"),
        ("layers", "block_count"),
        ("width", "embedding_length"),
        ("heads", "attention.head_count"),
        ("kv heads", "attention.head_count_kv"),
        ("feed-forward", "feed_forward_length"),
        ("experts", "expert_count"),
    ):
        if f"{architecture}.{key}" in keys:
            yield title, _one_line(keys[f"{architecture}.{key}"])
    yield "tokenizer", _tokenizer(file)
    template = keys.get("tokenizer.chat_template")
    yield "template", f"{len(template)} characters" if isinstance(template, str) else "none"


def _parameters(file: GGUF) -> int:
    return sum(tensor.size for tensor in file.tensors.values())


def _mix(file: GGUF) -> str:
    found, weights = shares(file), _parameters(file)
    if not found:
        return "no tensors"
    bits = 8 * sum(share.bytes for share in found) / weights
    parts = [f"{share.format} {100 * share.weights / weights:.1f} %" for share in found]
    return f"{', '.join(parts)}; {bits:.2f} bits a weight"


def _tokenizer(file: GGUF) -> str:
    keys = file.metadata
    tokens = keys.get("tokenizer.ggml.tokens")
    if "tokenizer.ggml.model" not in keys or not isinstance(tokens, Strings):
        return "none"
    pre = f" ({_one_line(keys['tokenizer.ggml.pre'])})" if "tokenizer.ggml.pre" in keys else ""
    return f"{_one_line(keys['tokenizer.ggml.model'])}{pre}, {len(tokens)} tokens"


def _tensor_table(file: GGUF) -> str:
    rows = [("tensor", "format", "shape", "size")]
    for tensor in file.tensors.values():
        shape = " x ".join(str(length) for length in tensor.shape)
        rows.append((_one_line(tensor.name), tensor.format.name, shape, size(tensor.data.nbytes)))
    return columns(rows, right=(2, 3))


def _tensor_records(file: GGUF) -> Iterator[Json]:
    for tensor in file.tensors.values():
        yield {
            "name": tensor.name,
            "format": tensor.format.name,
            "shape": list(tensor.shape),
            "bytes": tensor.data.nbytes,
        }


def _plain(value: Value | None) -> Json:
    """A value as JSON; of a long array its length alone."""
    if isinstance(value, Strings | np.ndarray):
        if len(value) > SHOWN_ITEMS:
            return {"array_length": len(value)}
        return [_plain(item) for item in _items(value)]
    return plain(value)


def _items(array: Strings | NDArray[np.generic]) -> list[Value]:
    if isinstance(array, Strings):
        return [item.decode("utf-8", "replace") for item in array]
    items: list[Value] = array.tolist()
    return items


def _one_line(value: Value) -> str:
    match _plain(value):
        case {"array_length": length}:
            text = f"{length} items"
        case list(items):
            text = ", ".join(str(item) for item in items)
        case other:
            text = str(other)
    text = " ".join(text.split())
    return text if len(text) <= LINE else text[: LINE - 1] + "…"
