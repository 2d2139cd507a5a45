"""The adapter files that options name: FILE, FILE:SCALE, several with commas."""

import shlex
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol

from lepton_cli.engine.loading.adapters import AdapterFile, AdapterKind
from lepton_cli.ui.arguments.options.model import ModelOptions
from quant.errors import UsageError

Texts = Sequence[str] | None


class WithLora(Protocol):
    """Options of a command, with those for LoRA adapters."""

    @property
    def lora(self) -> Texts: ...
    @property
    def lora_scaled(self) -> Texts: ...


def adapters_of(options: ModelOptions) -> tuple[AdapterFile, ...]:
    """The LoRA adapters, then the control vectors. Raises UsageError."""
    plain, scaled = options.control_vector, options.control_vector_scaled
    layers = options.control_vector_layer_range
    if layers is not None and not 1 <= layers[0] <= layers[1]:
        message = f"--control-vector-layer-range is {layers[0]} {layers[1]}"
        raise UsageError(message, "give the first layer, from 1, and the last: e.g. 10 20")
    if layers is not None and not (plain or scaled):
        raise UsageError("--control-vector-layer-range without a control vector", WANTS_VECTOR)
    vectors = _files("control vector", "--control-vector", plain, scaled)
    steering = (AdapterFile(path, scale, kind, layers) for path, scale, kind in vectors)
    return (*lora_of(options), *steering)


def lora_of(options: WithLora) -> tuple[AdapterFile, ...]:
    """The LoRA adapters. Raises UsageError."""
    found = _files("lora", "--lora", options.lora, options.lora_scaled)
    return tuple(AdapterFile(path, scale, kind) for path, scale, kind in found)


def _files(
    kind: AdapterKind, flag: str, plain: Texts, scaled: Texts
) -> Iterator[tuple[Path, float, AdapterKind]]:
    """Of an option and of its sibling that requires scales."""
    for name, texts in ((flag, plain or ()), (f"{flag}-scaled", scaled or ())):
        for item in chain.from_iterable(map(_items, texts)):
            path, scale = _split(name, item, required=name != flag)
            yield Path(path).expanduser(), scale, kind


def _items(text: str) -> list[str]:
    """The parts between commas; a file's own name may have some."""
    return [text] if _exists(text) else text.split(",")


def _split(flag: str, item: str, *, required: bool) -> tuple[str, float]:
    """A path and its scale. Raises UsageError."""
    path, colon, number = item.rpartition(":")
    if not item.strip() or (colon and not path):
        raise UsageError(f"{flag} names no file", f"{flag} adapter.gguf:0.5")
    if _exists(item) or not colon:
        if required:
            raise UsageError(f"{flag} {item} has no scale", _example(flag, item))
        return item, 1.0
    try:
        return path, float(number)
    except ValueError:
        if not (required or _exists(path)):
            return item, 1.0  # there is no such file, which is told when it is opened
        message = f"{flag} {item}: the scale {number!r} is not a number"
        raise UsageError(message, _example(flag, path)) from None


def _example(flag: str, path: str) -> str:
    return f"{flag} {shlex.quote(f'{path}:0.5')}"


def _exists(text: str) -> bool:
    return Path(text).expanduser().exists()


WANTS_VECTOR = "add --control-vector FILE"
