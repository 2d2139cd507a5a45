"""The adapter files that a model is opened with, and their scales while it is open."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, Literal, Protocol

from lepton_cli.engine.library.identity import SourceFile, model_identity
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted, gigabytes
from lepton_cli.models.adapters import MOST, OTHER_MODEL, Adapters, ControlVector, Forward, Lora
from ops.interface import Weight
from ops.program import Program
from ops.recorder import record
from quant.errors import LeptonError, ModelFileError, UsageError
from quant.gguf import GGUF, Metadata, Stamp

AdapterKind = Literal["lora", "control vector"]
CONTROL_VECTOR = "controlvector"  # the architecture of such a file
PREFIX = "adapter.lora.prompt_prefix"  # as of Jina 3's adapters, one for each task
OPTIONS = {"lora": "--lora", "control vector": "--control-vector"}


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter that is asked for; `layers`, from and to, are those of a control vector."""

    path: Path
    scale: float = 1.0
    kind: AdapterKind = "lora"
    layers: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Raises UsageError: values may come from a user's program."""
        check_scale(self.scale)


@dataclass(frozen=True, slots=True)
class AdapterState:
    """An adapter of an open model. `prefix`: the text that it wants before each text."""

    path: Path
    scale: float
    about: str
    given: float = 1.0  # the scale that it was opened with
    prefix: str = ""

    @property
    def name(self) -> str:
        return self.path.stem

    def __str__(self) -> str:
        return f"{self.path} x {self.scale:g}: {self.about}"


class AdapterSource:
    """An adapter's file with its present scale, on which results depend."""

    def __init__(self, file: GGUF, adapter: Lora | ControlVector) -> None:
        self._file, self._adapter = SourceFile(file), adapter

    @property
    def name(self) -> str:
        return self._file.name

    @property
    def digest(self) -> str:
        """That of the file alone."""
        return self._file.identity

    @property
    def identity(self) -> str:
        layers = self._adapter.layers if isinstance(self._adapter, ControlVector) else ""
        return f"{self._file.identity} {float(self._adapter.scale)!r} {layers}"

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        return self._file.stamps

    @property
    def maps(self) -> tuple[mmap, ...]:
        return self._file.maps


class BoundAdapters(Adapters):
    """The adapters of one model, with the files that its programs are made of besides its own."""

    def __init__(self, base: GGUF | None = None, wanted: Sequence[AdapterFile] = ()) -> None:
        """Opens the files. Raises UsageError, ModelFileError."""
        files = [GGUF.open(each.path.expanduser()) for each in wanted]
        _check_different(files)
        found: list[Lora | ControlVector] = []
        for file, each in zip(files, wanted, strict=True):
            assert base is not None, "adapters belong to a model"
            _check_kind(file, each.kind, base)
            found.append(
                Lora.of(file, each.scale)
                if each.kind == "lora"
                else ControlVector.of(file, each.scale, each.layers)
            )
        super().__init__(base, found)
        self.sources: tuple[AdapterSource, ...] = tuple(map(AdapterSource, files, found))
        self._given = [
            (file.file_bytes, each.scale, file.metadata.string(PREFIX, ""))
            for file, each in zip(files, found, strict=True)
        ]

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(each.path for each in self.used)

    def recorded(
        self, forward: Forward, file: GGUF, gives: Literal["logits", "hidden"] = "logits"
    ) -> Program:
        """A forward pass of the model in `file`, or a part of one. Raises ModelFileError."""
        return record(self.around(forward), SourceFile(file), *self.sources, gives=gives)

    @property
    def states(self) -> tuple[AdapterState, ...]:
        return tuple(
            AdapterState(each.path, each.scale, f"{each.about}, {gigabytes(size)}", scale, prefix)
            for each, (size, scale, prefix) in zip(self.used, self._given, strict=True)
        )


class Rereads(Protocol):
    """Runs a program, or several."""

    def reread(self, vectors: Iterable[Weight]) -> None:
        """See Runner."""


class LiveAdapters:
    """The adapters of an open model, whose scales may be changed between answers."""

    def __init__(
        self,
        bound: BoundAdapters,
        parts: Sequence[Rereads | None],
        forget: Callable[[], None],
    ) -> None:
        """`parts`: what runs its programs. `forget`: all that was read has to be read anew."""
        self._bound, self._parts, self._forget = bound, parts, forget

    @property
    def states(self) -> tuple[AdapterState, ...]:
        return self._bound.states

    def record(self) -> dict[str, Plain]:
        """A field of a record of the model: none without adapters."""
        used: list[Plain] = [{"path": str(one.path), "scale": one.scale} for one in self.states]
        return {"adapters": used} if used else {}

    def saved(self) -> list[Plain]:
        """What `reopened` needs, to open them again with their present scales."""
        return [
            {
                "path": str(each.path.absolute()),
                "scale": each.scale,
                "layers": list(each.layers) if isinstance(each, ControlVector) else None,
                "digest": source.digest,
            }
            for each, source in zip(self._bound.used, self._bound.sources, strict=True)
        ]

    def rescale(self, number: int, scale: float) -> None:
        """Gives the adapter of this number, from 0, another scale. Raises UsageError."""
        count = len(self._bound.used)
        if not 0 <= number < count:
            message = f"there is no adapter {number + 1}"
            raise UsageError(message, f"the model was opened with {counted(count, 'adapter')}")
        check_scale(scale)
        if scale == self._bound.used[number].scale:
            return
        vectors = self._bound.rescale(number, scale)
        for part in self._parts:
            if part is not None:
                part.reread(vectors)
        self._forget()


def reopened(saved: Sequence[Any]) -> tuple[AdapterFile, ...]:
    """The files of saved adapters. Raises UsageError where one is gone or is another one now."""
    return tuple(map(_reopened, saved))


def _reopened(saved: Any) -> AdapterFile:
    try:
        path, layers = Path(saved["path"]), saved["layers"]
        kind: AdapterKind = "lora" if layers is None else "control vector"
        limits = None if layers is None else (int(layers[0]), int(layers[1]))
        found = AdapterFile(path, float(saved["scale"]), kind, limits)
        digest = saved["digest"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"the adapter {saved!r:.60} is not like those that are saved") from error
    try:
        same = model_identity(GGUF.open(path)) == digest
    except LeptonError as error:
        raise UsageError(error.message, error.hint) from error
    if not same:
        raise UsageError(f"{path} is not the adapter that it was")
    return found


def check_scale(scale: float) -> None:
    """Raises UsageError."""
    if not abs(scale) <= MOST:
        hint = f"use a number up to {MOST:.0f}, e.g. 1, 0.5 or 0"
        raise UsageError(f"an adapter's scale is {scale}", hint)


def how_to_use(metadata: Metadata) -> str | None:
    """The hint where a file is given as a model but is an adapter."""
    option = None
    if metadata.get("general.type") == "adapter":
        option = OPTIONS["lora"]
    elif metadata.get("general.architecture") == CONTROL_VECTOR:
        option = OPTIONS["control vector"]
    path = shlex.quote(str(metadata.path))
    return option and f"use it with its model: lepton run MODEL {option} {path}"


def _check_different(files: Sequence[GGUF]) -> None:
    """Raises UsageError for a file that is given twice."""
    seen = set[Path]()
    for file in files:
        path = file.path.resolve()
        if path in seen:
            hint = "give it once, with the scale that it is to have"
            raise UsageError(f"the adapter {file.path} is given twice", hint)
        seen.add(path)


def _check_kind(file: GGUF, kind: AdapterKind, base: GGUF) -> None:
    """Raises ModelFileError for a file of another kind, or for another architecture."""
    name = file.metadata.string("general.architecture", "")
    is_vector = name == CONTROL_VECTOR
    is_lora = file.metadata.get("general.type") == "adapter" and not is_vector
    path = shlex.quote(str(file.path))
    if not is_vector and not is_lora:
        article = "no LoRA adapter" if kind == "lora" else "no control vector"
        known = f"general.type is {file.metadata.get('general.type', 'model')!r}"
        hint = f"a model is given as MODEL: lepton run {path}"
        raise ModelFileError(f"{file.path}: {article} ({known})", hint)
    if is_vector != (kind == "control vector"):
        found = "a control vector" if is_vector else "a LoRA adapter"
        option = OPTIONS["control vector" if is_vector else "lora"]
        raise ModelFileError(f"{file.path}: is {found}", f"use {option} {path}")
    architecture = base.metadata.string("general.architecture")
    if is_lora and name != architecture:
        message = f"{file.path}: an adapter for {name!r}, but {base.path} is {architecture!r}"
        raise ModelFileError(message, OTHER_MODEL)
