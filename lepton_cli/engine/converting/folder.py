"""A model's folder: config.json, the safetensors files, the tokenizer's files."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lepton_cli.engine.converting.safetensors import RawTensor, read
from quant.errors import ModelFileError, UsageError

INDEX = "model.safetensors.index.json"
LIMIT = 1 << 32  # of integers in a file's keys
LARGEST = 1e38  # of its numbers
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Config:
    """The values of config.json; those of its `text_config` first, for models that also see."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        inner = values.get("text_config")
        self.path, self._values = path, {**values, **(inner if isinstance(inner, dict) else {})}

    def filled(self, defaults: Mapping[str, Any]) -> "Config":
        """With these values where none is given."""
        given = {name: value for name, value in self._values.items() if value is not None}
        return Config(self.path, {**defaults, **given})

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def integer(self, *names: str, default: int | None = None) -> int:
        """The first of these that is there. Raises ModelFileError."""
        value = self._first(names, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(names[0], f"is {value!r:.40}, not an integer")
        if not 0 <= value < LIMIT:
            raise self.wrong(names[0], f"is {value!r:.40}")
        return value

    def positive(self, *names: str, default: int | None = None) -> int:
        value = self.integer(*names, default=default)
        if value < 1:
            raise self.wrong(names[0], f"is {value}")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        return self._number(names[0], self._first(names, default))

    def text(self, name: str, default: str = "") -> str:
        value = self._values.get(name, default)
        return value if isinstance(value, str) else default

    def numbers(self, name: str) -> list[float]:
        value = self._values.get(name)
        if not isinstance(value, list):
            raise self.wrong(name, "is not a list of numbers")
        return [self._number(name, item) for item in value]

    def table(self, name: str) -> "Config":
        """An object within; empty if it is missing."""
        value = self._values.get(name)
        return Config(self.path, value if isinstance(value, dict) else {})

    def names(self, name: str) -> list[str]:
        value = self._values.get(name)
        return [str(item) for item in value] if isinstance(value, list) else []

    def wrong(self, name: str, what: str) -> ModelFileError:
        return ModelFileError(f"{self.path}: {name} {what}", "use the model's own config.json")

    def _number(self, name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, f"is {value!r:.40}, not a number")
        if not abs(value) < LARGEST:
            raise self.wrong(name, f"is {value!r:.40}")
        return float(value)

    def _first(self, names: tuple[str, ...], default: object) -> object:
        for name in names:
            if self._values.get(name) is not None:
                return self._values[name]
        if default is None:
            raise self.wrong(names[0], "is missing")
        return default


class ModelFolder:
    """An unpacked repository of a model."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError for what is no such folder, ModelFileError for a damaged one."""
        self.path = path
        if not path.is_dir():
            what = "is a file" if path.exists() else "does not exist"
            hint = "give the folder with config.json and the .safetensors files"
            raise UsageError(f"{path} {what}", hint)
        self.config = Config(path / "config.json", self.json("config.json", required=True))
        index = self._index()
        self.files = self._files(index)
        self.tensors: dict[str, RawTensor] = {}
        for file in self.files:
            for name, tensor in read(file).items():
                if name in self.tensors:
                    raise ModelFileError(f"{file}: the tensor {name} is in another file, too")
                self.tensors[name] = tensor
        for name in index:
            if name not in self.tensors:
                message = f"{path}: the tensor {name} is in the index, but in none of its files"
                raise ModelFileError(message, "download the files of weights again")

    def json(self, name: str, *, required: bool = False) -> dict[str, Any]:
        """The object in a file; empty if it is missing. Raises UsageError, ModelFileError."""
        path = self.path / name
        if not path.is_file():
            if required:
                raise UsageError(f"{self.path} has no {name}", "download the whole repository")
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ModelFileError(f"{path} is not JSON: {error}", "download it again") from error
        if not isinstance(value, dict):
            raise ModelFileError(f"{path} holds no JSON object", "download it again")
        return value

    def _index(self) -> dict[str, str]:
        """The file of each tensor; empty without an index. Raises ModelFileError."""
        places = self.json(INDEX).get("weight_map", {})
        if not isinstance(places, dict) or not all(isinstance(x, str) for x in places.values()):
            message = f"{self.path / INDEX}: its weight_map names no files"
            raise ModelFileError(message, "download it again")
        return places

    def _files(self, index: Mapping[str, str]) -> list[Path]:
        names = sorted({*index.values()})
        if not names:
            names = sorted(path.name for path in self.path.glob("model*.safetensors"))
        if not names:
            raise self._no_weights()
        missing = [name for name in names if not (self.path / name).is_file()]
        if missing:
            message = f"{self.path}: {missing[0]} is missing, one of {len(names)} files of weights"
            raise ModelFileError(message, "download it into the folder")
        return [self.path / name for name in names]

    def _no_weights(self) -> UsageError:
        pickles = sorted(path.name for kind in PICKLES for path in self.path.glob(kind))
        if not pickles:
            hint = "give the folder with config.json and model.safetensors"
            return UsageError(f"{self.path} has no safetensors files", hint)
        message = f"{self.path / pickles[0]} is a pickle, which can run any program when it is read"
        hint = "get the model as safetensors, or save it so with transformers: save_pretrained"
        return UsageError(message, f"{hint}({shlex.quote(str(self.path))})")
