"""`lepton inspect`: a summary of a model file, as text or JSON."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TypeVar

from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading.inspection import Inspection
from lepton_cli.engine.loading.structure import AttentionShape, ExpertShape, Structure
from lepton_cli.ui.reports.numbers import amount, columns, facts, size
from lepton_cli.ui.terminal.output import emit, emit_json
from lepton_cli.ui.terminal.terminal import width_of

Shape = TypeVar("Shape", AttentionShape, ExpertShape)

SCHEMA = "lepton.inspect.v1"
LINE = 100  # characters of a value
OWN_KEYS = (
    ("context", "context_length"),
    ("width", "embedding_length"),
    ("feed-forward", "feed_forward_length"),
)
KEYS_OF_LAYERS = (  # of a file that cannot be run
    ("layers", "block_count"),
    ("heads", "attention.head_count"),
    ("kv heads", "attention.head_count_kv"),
    ("experts", "expert_count"),
)


def show(file: Inspection, *, metadata: bool, tensors: bool) -> None:
    width = width_of(sys.stdout)
    text = f"{file.path}\n" + facts([(f"  {name}", said) for name, said in _summary(file)], width)
    if metadata:
        rows = [(f"  {key}", _one_line(value)) for key, value in file.metadata.items()]
        text += "\nmetadata\n" + facts(rows, width)
    if tensors:
        text += "\n" + _tensor_table(file)
    emit(sys.stdout, text)


def show_template(file: Inspection) -> None:
    """Prints the template's source, byte for byte."""
    emit(sys.stdout, (file.template or "") + "\n")


def show_json(file: Inspection, *, tensors: bool) -> None:
    record: dict[str, Plain] = {
        "schema": SCHEMA,
        "path": file.path,
        "version": file.version,
        "file_bytes": file.file_bytes,
        "architecture": file.architecture,
        "parameters": file.parameter_count,
        "quantization": [asdict(share) for share in file.shares],
        "context": file.own("context_length"),
        "structure": None if file.structure is None else _plain_structure(file.structure),
        "obstacle": file.obstacle,
        "next_token_heads": file.next_token_heads,
        "tokenizer": {
            "model": file.metadata.get("tokenizer.ggml.model"),
            "pre": file.metadata.get("tokenizer.ggml.pre"),
            "tokens": file.tokens,
        },
        "template": file.template,
        "metadata": file.metadata,
    }
    if tensors:
        record["tensors"] = [
            asdict(tensor) | {"shape": list(tensor.shape)} for tensor in file.tensors
        ]
    emit_json(sys.stdout, record)


def _plain_structure(found: Structure) -> Plain:
    return {
        "layers": dict(found.kinds),
        "attention": [asdict(shape) for shape in found.attention],
        "experts": [asdict(shape) for shape in found.experts],
        "active_parameters": found.active,
        "kv_bytes_per_token": found.kv_bytes_per_token,
        "state_bytes": found.state_bytes,
    }


def _summary(file: Inspection) -> Iterator[tuple[str, str]]:
    yield "file", f"{size(file.file_bytes)}, GGUF version {file.version}"
    if "general.name" in file.metadata:
        yield "name", _one_line(file.metadata["general.name"])
    yield "architecture", _one_line(file.architecture or "not named")
    yield "parameters", _parameters(file)
    yield "quantization", _mix(file)
    if file.obstacle is not None:
        yield "cannot run", _one_line(file.obstacle)
    for title, key in OWN_KEYS if file.structure else OWN_KEYS + KEYS_OF_LAYERS:
        said = _by_layer(file.own(key))
        if said is not None:
            yield title, said
    if file.structure:
        yield from _structure(file.structure)
    if file.next_token_heads:
        yield "next token", counted(file.next_token_heads, "head") + " to guess further tokens"
    yield "tokenizer", _tokenizer(file)
    yield "template", "none" if file.template is None else counted(len(file.template), "character")


def _parameters(file: Inspection) -> str:
    active = file.structure.active if file.structure else file.parameter_count
    each = f", {amount(active)} for each token" if active < file.parameter_count else ""
    return f"{amount(file.parameter_count)} in {counted(len(file.tensors), 'tensor')}{each}"


def _structure(found: Structure) -> Iterator[tuple[str, str]]:
    yield "layers", _layers(found)
    yield from _per_layers("attention", found.attention, _heads)
    yield from _per_layers("experts", found.experts, _experts)
    if found.kv_bytes_per_token:
        yield "kv cache", f"{size(found.kv_bytes_per_token)} a token (f16)"
    if found.state_bytes:
        yield "state", f"{size(found.state_bytes)} a sequence"


def _layers(found: Structure) -> str:
    match found.kinds:
        case [("attention", count)]:
            return str(count)
        case [(kind, count)]:
            return f"{count}, all {kind}"
        case kinds:
            return f"{found.layers}: {', '.join(f'{count} {kind}' for kind, count in kinds)}"


def _per_layers(
    title: str, shapes: Sequence[Shape], words: Callable[[Shape], str]
) -> Iterator[tuple[str, str]]:
    """A line for each shape; of several it says how many layers have it."""
    for shape in shapes:
        begin = f"{counted(shape.layers, 'layer')}: " if len(shapes) > 1 else ""
        yield title, begin + words(shape)


def _heads(shape: AttentionShape) -> str:
    values = f", values {shape.value_width}" if shape.value_width != shape.key_width else ""
    window = f", window {shape.window}" if shape.window else ""
    heads = f"{counted(shape.query_heads, 'query head')}, {counted(shape.kv_heads, 'kv head')}"
    return f"{heads}, width {shape.key_width}{values}{window}"


def _experts(shape: ExpertShape) -> str:
    chosen = f"{shape.total}, {shape.used} for each token"
    if not shape.shared:
        return chosen
    if shape.shared == int(shape.shared):
        return f"{chosen}, {shape.shared:.0f} shared"
    return f"{chosen}, 1 shared, {shape.shared:.3g} times as wide"


def _by_layer(value: Plain) -> str | None:
    """A number of the model, or the range of one for each layer; None if no layer has any."""
    match value:
        case None | 0:
            return None
        case [int(), *_] as items:  # an array of GGUF has values of one type
            numbers = [item for item in items if isinstance(item, int)]
            low, high = min(numbers), max(numbers)
            return _by_layer(high) if low == high else f"{low} to {high}, by layer"
        case other:
            return _one_line(other)


def _mix(file: Inspection) -> str:
    if not file.parameter_count:
        return "no weights"
    bits = 8 * sum(share.bytes for share in file.shares) / file.parameter_count
    parts = [
        f"{each.format} {100 * each.weights / file.parameter_count:.1f} %" for each in file.shares
    ]
    return f"{', '.join(parts)}; {bits:.2f} bits a weight"


def _tokenizer(file: Inspection) -> str:
    model, pre = (file.metadata.get(f"tokenizer.ggml.{key}") for key in ("model", "pre"))
    if model is None:
        return "none"
    kind = _one_line(model) if pre is None else f"{_one_line(model)} ({_one_line(pre)})"
    return f"{kind}, {counted(file.tokens, 'token')}"


def _tensor_table(file: Inspection) -> str:
    rows = [("tensor", "format", "shape", "size")]
    for tensor in file.tensors:
        shape = " x ".join(str(length) for length in tensor.shape)
        rows.append((_one_line(tensor.name), tensor.format, shape, size(tensor.bytes)))
    return columns(rows, right=(2, 3))


def _one_line(value: Plain) -> str:
    match value:
        case {"array_length": int(length)}:
            text = counted(length, "item")
        case list(items):
            text = ", ".join(str(item) for item in items)
        case other:
            text = " ".join(str(other).split())
    return text if len(text) <= LINE else text[: LINE - 1] + "…"
