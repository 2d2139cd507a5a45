"""A folder of transformers to one GGUF file, as llama.cpp's converter writes it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import gguf
import numpy as np
import yaml
from numpy.typing import NDArray

from lepton_cli.engine.converting.families import Family, family_of
from lepton_cli.engine.converting.folder import ModelFolder
from lepton_cli.engine.converting.keys import written_keys
from lepton_cli.engine.converting.safetensors import RawTensor
from lepton_cli.engine.converting.vocabulary import write_vocabulary
from lepton_cli.engine.files.encoding import encoded
from lepton_cli.engine.files.pieces import PIECE
from lepton_cli.engine.files.trial import trial_program
from lepton_cli.engine.files.writing import Output
from quant.bits import Floats
from quant.errors import ModelFileError, UsageError
from quant.format import FORMATS, Format
from quant.gguf_writer import Header, Piece, TensorInfo

TYPES = MappingProxyType({"F32": 0, "F16": 1, "Q8_0": 7, "BF16": 32})
"""The types of files that are written, with the numbers of `general.file_type`."""
POOLINGS = MappingProxyType(
    {
        "pooling_mode_mean_tokens": gguf.PoolingType.MEAN,
        "pooling_mode_cls_token": gguf.PoolingType.CLS,
        "pooling_mode_lasttoken": gguf.PoolingType.LAST,
    }
)
KEPT_WHOLE = ("position_embd.weight", "token_types.weight")  # in F32, as llama.cpp has them
SUFFIXES = (".weight", ".bias")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a tensor of the file is made of. `rows`: gives its values from one row to another."""

    info: TensorInfo
    rows: Callable[[int, int], Floats]

    def pieces(self) -> Iterator[Piece]:
        """The tensor's bytes, some rows at a time."""
        count = self.info.shape[0]
        width = int(np.prod(self.info.shape[1:], dtype=np.int64))
        step = max(1, PIECE // width) if len(self.info.shape) > 1 else count
        for start in range(0, count, step):
            values = self.rows(start, min(start + step, count))
            yield encoded(self.info.name, self.info.format, values).data


def converted(path: Path, out: Path, kind: str | None) -> Output:
    """The file to be. `kind`: one of TYPES; None: that of the folder's weights, else F16.

    Raises UsageError, ModelFileError: nothing is written then.
    """
    folder = ModelFolder(path)
    family = family_of(folder)
    chosen = kind or _stored_type(folder)
    tokens = 0

    def write(writer: gguf.GGUFWriter) -> None:
        nonlocal tokens
        _write_about(folder, writer)
        family.write(writer)
        _write_pooling(folder, writer)
        writer.add_file_type(TYPES[chosen])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        prefix = family.space_prefix if family.space_prefix is not None else _prefix(folder)
        tokens = write_vocabulary(folder, writer, space_prefix=prefix)

    keys = written_keys(path, family.architecture, write)
    sources = {each.info.name: each for each in _sources(folder, family, FORMATS[chosen], tokens)}
    header = Header(keys, [each.info for each in sources.values()])

    def data(info: TensorInfo) -> Iterable[Piece]:
        return sources[info.name].pieces()

    output = Output(out, header, data)
    try:
        trial_program(output)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error.message}", error.hint) from error
    return output


def _stored_type(folder: ModelFolder) -> str:
    """The type of the first matrix, if it has 16 bits."""
    kinds = (each.dtype for each in folder.tensors.values() if len(each.shape) > 1)
    return "BF16" if next(kinds, None) == "BF16" else "F16"


def _prefix(folder: ModelFolder) -> bool | None:
    given = folder.json("tokenizer_config.json").get("add_prefix_space")
    return given if isinstance(given, bool) else None


def _write_about(folder: ModelFolder, writer: gguf.GGUFWriter) -> None:
    """The name, the licence and the like, as the model card and the folder's name say."""
    total = sum(int(np.prod(each.shape)) for each in folder.tensors.values())
    path = folder.path.resolve()
    try:
        about = gguf.Metadata.load(None, path, _hub_name(path), total)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        message = f"{path}: its model card cannot be read ({error})"
        raise ModelFileError(message, "remove README.md from the folder") from error
    about.name = about.name or path.name
    about.size_label = about.size_label or gguf.size_label(total, total, 0, 0)
    writer.add_type(gguf.GGUFType.MODEL)
    about.set_gguf_meta_model(writer)


def _write_pooling(folder: ModelFolder, writer: gguf.GGUFWriter) -> None:
    """How the rows of a text become one vector, as sentence-transformers' files say."""
    found = folder.json("1_Pooling/config.json")
    for key, kind in POOLINGS.items():
        if found.get(key):
            writer.add_pooling_type(kind)
            return


def _hub_name(path: Path) -> str | None:
    """The repository's name, of a folder in Hugging Face's cache, which is named by a hash."""
    repository = path.parent.parent.name
    if path.parent.name != "snapshots" or not repository.startswith("models--"):
        return None
    title: str = gguf.Metadata.id_to_title(  # type: ignore[no-untyped-call]
        repository.rpartition("--")[2]
    )
    return title


def _sources(folder: ModelFolder, family: Family, kind: Format, tokens: int) -> Iterator[Source]:
    for name, values in family.extra():
        info = TensorInfo(name, FORMATS["F32"], values.shape)
        yield Source(info, partial(_part, values))
    names = gguf.get_tensor_name_map(_architecture(family), family.layers)
    seen = set[str]()
    for raw in folder.tensors.values():
        plain = family.tensor_name(raw.name)
        if plain is None:
            continue
        name = names.get_name(plain, SUFFIXES) or ""
        if not name or name in seen:
            what = f"is a second {name} in" if name else "has no place in"
            message = f"{folder.path}: the tensor {raw.name} {what} a {family.architecture} model"
            raise ModelFileError(message, "use the model's own files")
        seen.add(name)
        yield _source(family, raw, plain, name, kind, tokens)


def _part(values: Floats, start: int, stop: int) -> Floats:
    return values[start:stop]


def _architecture(family: Family) -> gguf.MODEL_ARCH:
    return next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == family.architecture)


def _source(
    family: Family, raw: RawTensor, plain: str, name: str, kind: Format, tokens: int
) -> Source:
    shape = raw.shape or (1,)
    if family.is_transposed(plain):
        if len(shape) != 2:
            where = family.config.path.parent
            raise ModelFileError(f"{where}: the tensor {raw.name} should be a matrix, not {shape}")
        whole = TensorInfo(name, _format(name, shape[::-1], kind), shape[::-1])
        return Source(whole, lambda start, stop: raw.columns(start, stop).T.copy())
    shape = (family.rows(plain, shape[0], tokens), *shape[1:])
    order, shift = family.row_order(plain, shape[0]), np.float32(family.shift(plain))

    def rows(start: int, stop: int) -> Floats:
        values = _ordered(raw, order, start, stop)
        return values + shift if shift else values

    return Source(TensorInfo(name, _format(name, shape, kind), shape), rows)


def _ordered(raw: RawTensor, order: NDArray[np.int64] | None, start: int, stop: int) -> Floats:
    if order is None:
        return raw.floats(start, stop)
    picked = RawTensor(raw.name, raw.dtype, raw.shape, raw.data[order[start:stop]])
    return picked.floats()


def _format(name: str, shape: tuple[int, ...], kind: Format) -> Format:
    """F32 for vectors, norms and small tables; F16 where rows do not fill the type's blocks."""
    if len(shape) < 2 or name.endswith("_norm.weight") or name in KEPT_WHOLE:
        return FORMATS["F32"]
    return FORMATS["F16"] if shape[-1] % kind.block_size else kind


def check_type(kind: str | None) -> str | None:
    """The type's name in capitals. Raises UsageError."""
    if kind is None or kind.lower() == "auto":
        return None
    if kind.upper() not in TYPES:
        raise UsageError(f"--type is {kind!r}", f"known types: {', '.join(TYPES)}, auto")
    return kind.upper()
