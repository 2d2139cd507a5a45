"""Writes a model file with its tensors in other formats, as llama-quantize does."""

import mmap
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from lepton_cli.engine.files.blocks import moved_up, split_name
from lepton_cli.engine.files.encoding import open_encoder
from lepton_cli.engine.files.trial import trial_program
from lepton_cli.engine.files.writing import Output, copied, own_keys
from lepton_cli.engine.library.stores import SHARD, shard_name
from lepton_cli.engine.shrinking.choosing import (
    Chooser,
    Facts,
    in_visiting_order,
    needs_importance,
)
from lepton_cli.engine.shrinking.importance import Importance
from lepton_cli.engine.shrinking.presets import Preset
from lepton_cli.models.keys import Keys
from ops.compiled.kernel_folder import Compiling
from ops.encoding.encoder import ENCODED, Encoder, Rows
from quant.errors import ModelFileError, UsageError
from quant.format import Format
from quant.gguf import GGUF, Tensor
from quant.gguf_writer import Header, TensorInfo, number, text

AT_ONCE = 1 << 22
"""Weights of a tensor that are converted before they are written; a thread holds far fewer."""
QUANTIZATION_VERSION = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `dropped`: layers that are left out; `overrides`: keys as stored."""

    preset: Preset
    importance: Importance | None = None
    dropped: frozenset[int] = frozenset()
    overrides: Mapping[str, bytes] = field(default_factory=dict)
    allow_requantize: bool = False
    keep_split: bool = False


@dataclass(frozen=True, slots=True)
class Converted:
    """A tensor and the format that it gets. `name` differs from its own behind a dropped layer."""

    name: str
    source: Tensor
    format: Format

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.name, self.format, self.source.shape)

    @property
    def is_copied(self) -> bool:
        return self.format.id == self.source.format.id


def facts_of(file: GGUF, importance: Importance | None) -> Facts:
    """What the rules of file types ask of a model."""
    keys = Keys(file.metadata)
    heads = keys.at("attention.head_count", 0, 1)
    key_heads = keys.at("attention.head_count_kv", 0, heads)
    return Facts(
        keys.prefix,
        keys.integer("block_count", 0),
        heads // key_heads if key_heads else 0,
        keys.integer("expert_count", 0),
        importance is not None,
    )


def converted(file: GGUF, request: Request, choose: Chooser) -> list[Converted]:
    """All tensors that stay, in the order of llama.cpp's files. Raises UsageError."""
    dropped, tensors = request.dropped, file.tensors.values()
    stays = [each for each in tensors if split_name(each.name)[0] not in dropped]
    chosen = choose(stays)
    result = []
    for tensor in in_visiting_order(stays):
        kind = chosen.get(tensor.name, tensor.format)
        if tensor.format.dequantize is None:
            kind = tensor.format
        _check(file, tensor, kind, request)
        result.append(Converted(moved_up(tensor.name, dropped), tensor, kind))
    _check_importance(file, result, request)
    return result


def bits_per_weight(tensors: Sequence[Converted]) -> float:
    """Of all tensors together."""
    weights = sum(each.source.size for each in tensors)
    return 8 * sum(each.info.bytes for each in tensors) / max(1, weights)


def encoder_for(
    tensors: Sequence[Converted], threads: int, on_compile: Callable[[Compiling], None]
) -> Encoder:
    """With the kernels that these tensors need; as `encoder_of`."""
    return encoder_of([each.format for each in tensors if not each.is_copied], threads, on_compile)


def encoder_of(
    formats: Sequence[Format], threads: int, on_compile: Callable[[Compiling], None]
) -> Encoder:
    """With the kernels of these formats; `threads` below 1: of all cores. Raises LeptonError."""
    encoder = open_encoder(on_compile, threads)
    encoder.prepare([*formats])
    return encoder


def quantized_outputs(
    file: GGUF, path: Path, request: Request, tensors: Sequence[Converted], encoder: Encoder | None
) -> list[Output]:
    """The file, or with `keep_split` as many as the source has. No encoder: they are not written.

    Raises UsageError if a name is not one of a split file's, or where the layers that are left
    make no model.
    """
    if request.dropped:
        _check_left(file, request, tensors)
    by_name = {each.name: each for each in tensors}

    def data(info: TensorInfo) -> Iterator[bytes | memoryview]:
        each = by_name[info.name]
        if each.is_copied:
            yield from copied(each.source)
        else:
            assert encoder is not None, "only files that are written are encoded"
            yield from _encoded(each, encoder, request.importance)
        _release(file, each.source)

    pairs = _pairs(file, request)
    count = len(file.paths) if request.keep_split else 1
    if count == 1:
        return [Output(path, Header(pairs, [each.info for each in tensors]), data)]
    outputs = []
    for shard in range(count):
        keys = (pairs if shard == 0 else {}) | {
            "split.no": number(shard, "<u2"),
            "split.count": number(count, "<u2"),
            "split.tensors.count": number(len(tensors), "<i4"),
        }
        infos = [each.info for each in tensors if each.source.shard == shard]
        outputs.append(Output(_shard_path(path, shard, count), Header(keys, infos), data))
    return outputs


def _check_left(file: GGUF, request: Request, tensors: Sequence[Converted]) -> None:
    """Raises UsageError if what is left would be no model: only `prune` cuts keys with layers."""
    sources = {each.name: each.source for each in tensors}
    infos = [TensorInfo(each.name, each.source.format, each.source.shape) for each in tensors]
    header = Header(_pairs(file, request), infos)
    try:
        trial_program(Output(file.path, header, lambda info: copied(sources[info.name])))
    except ModelFileError as error:
        message = f"{file.path}: what --prune-layers leaves is no model: {error.message}"
        numbers = ",".join(map(str, sorted(request.dropped)))
        hint = f"first: lepton prune {quote(str(file.path))} OUT --drop-layers {numbers}"
        raise UsageError(message, hint) from error


def _check(file: GGUF, tensor: Tensor, kind: Format, request: Request) -> None:
    if kind.id == tensor.format.id:
        return
    if kind.name not in ENCODED and kind.name != "F32":
        raise UsageError(f"nothing writes {kind.name}", f"formats: {', '.join(sorted(ENCODED))}")
    if tensor.format.block_size > 1 and not request.allow_requantize:
        message = f"{file.path}: {tensor.name} is {tensor.format.name} already"
        hint = "quantize the original F16, BF16 or F32 file; --allow-requantize does it at a loss"
        raise UsageError(message, hint)


def _check_importance(file: GGUF, tensors: Sequence[Converted], request: Request) -> None:
    """Raises UsageError where it is missing, or is another model's."""
    importance = request.importance
    if importance is not None:
        encoded = [each.source.name for each in tensors if not each.is_copied]
        importance.check_model(file, encoded)
    for each in tensors:
        name = each.source.name
        found = None if importance is None else importance.of(each.source)
        wanted = needs_importance(name, each.format, request.preset) and not each.is_copied
        if found is None and wanted:
            message = f"{each.format.name} needs an importance matrix: {name} has none"
            hint = f"lepton imatrix {file.path} TEXT makes one; then give it as --imatrix FILE"
            raise UsageError(message, hint)


def _encoded(
    each: Converted, encoder: Encoder, importance: Importance | None
) -> Iterator[memoryview]:
    """The tensor's new bytes, some rows of one expert at a time."""
    tensor = each.source
    columns = tensor.shape[-1]
    weights = None if importance is None else importance.of(tensor)
    experts = 1 if weights is None else len(weights)
    rows, step = len(tensor.data) // experts, max(1, AT_ONCE // columns)
    for expert in range(experts):
        matrix = tensor.data[expert * rows : (expert + 1) * rows]
        own = None if weights is None else weights[expert]
        for start in range(0, rows, step):
            part = Rows(tensor.name, tensor.format, columns, matrix[start : start + step])
            yield encoder.encode(each.format, part, own).reshape(-1).data


def _release(file: GGUF, tensor: Tensor) -> None:
    """Gives back the mapped pages of a tensor that was read: they count as this process's."""
    if hasattr(mmap, "MADV_DONTNEED"):
        first = tensor.start // mmap.PAGESIZE * mmap.PAGESIZE
        size = tensor.start + tensor.data.nbytes - first
        file.maps[tensor.shard].madvise(mmap.MADV_DONTNEED, first, size)


def _pairs(file: GGUF, request: Request) -> dict[str, bytes]:
    """The file's keys; those that are set stand at the end, as llama-quantize has them."""
    pairs, keys = own_keys(file), Keys(file.metadata)
    new = {
        "general.quantization_version": number(QUANTIZATION_VERSION),
        "general.file_type": number(request.preset.id),
    }
    if request.dropped:
        count = keys.integer("block_count") - len(request.dropped)
        new[keys.name("block_count")] = number(count)
    if request.importance:
        new |= request.importance.pairs()
    for key, value in (new | dict(request.overrides)).items():
        pairs.pop(key, None)
        pairs[key] = value
    return pairs


def _shard_path(path: Path, shard: int, count: int) -> Path:
    """OUT may be a prefix, or the name that the first of them is to have."""
    match = SHARD.fullmatch(path.name)
    prefix = match["prefix"] if match else path.name.removesuffix(".gguf")
    return path.with_name(shard_name(prefix, shard + 1, count))


TYPES = {"int": "<u4", "float": "<f4", "bool": "|b1"}
KEY_VALUE = re.compile(r"(?P<key>[^=]+)=(?P<kind>int|float|bool|str):(?P<value>.*)", re.DOTALL)


def override_of(word: str) -> tuple[str, bytes]:
    """KEY=TYPE:VALUE with a type int, float, bool or str. Raises UsageError."""
    match = KEY_VALUE.fullmatch(word)
    hint = "for example: --override-kv llama.context_length=int:8192"
    if match is None:
        raise UsageError(f"--override-kv {word}: not KEY=TYPE:VALUE", hint)
    key, kind, value = match["key"], match["kind"], match["value"]
    try:
        match kind:
            case "str":
                return key, text(value)
            case "bool":
                return key, number({"true": True, "false": False}[value], TYPES[kind])
            case "int":
                return key, number(abs(int(value)), TYPES[kind])
            case _:
                return key, number(float(value), TYPES[kind])
    except (ValueError, KeyError, OverflowError) as error:
        raise UsageError(f"--override-kv {word}: {value!r} is no {kind}", hint) from error
