"""Models and operators on a card: an emulated one, or what LEPTON_TEST_CARD names.

`real`: this machine's. `compiled`: what the compiler makes of kernels runs beside their source, and
leaves the same bytes; `compiled-75`: as old cards spell it; `compiled-rough`: alone, and rounding
roughly; `compiled-falling`: the last warp goes first.
"""

import os
from collections.abc import Callable, Iterable
from typing import Protocol

from ops.backend import CacheTypes
from ops.cuda.device.device import Code, Device
from ops.cuda.kernels import KERNELS
from ops.cuda.runner import CudaRunner
from ops.interface import Array, Operators
from ops.memory_plan import Limits
from ops.recorder import record

VARIABLE = "LEPTON_TEST_CARD"
COMPILED = ("compiled", "compiled-75", "compiled-rough", "compiled-falling")


class TestCard(Device, Protocol):
    """A card that nobody else has; what is held on it is gone when it is closed."""

    __test__ = False
    graphs: int  # that were captured


class Kernels(Protocol):
    """A CodeStore, or what stands for one."""

    def prepare(self, names: Iterable[str]) -> None: ...


class Ready:
    """In place of a CodeStore: the emulator runs a kernel's source."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def prepare(self, names: Iterable[str]) -> None:
        for name in names:
            self._device.load(name, Code(b"", name, KERNELS[name].signature))


def kind_of_card() -> str:
    return os.environ.get(VARIABLE, "emulated")


def is_real() -> bool:
    return kind_of_card() == "real"


def open_card(*, falling: bool = False) -> TestCard:
    """`falling` turns the order of an emulated card's warps around."""
    if is_real():
        from real_card import borrow  # needs the extra, and no emulator

        return borrow()
    if kind_of_card() in COMPILED:
        from compiled_card import NEWER, OLDER, CompiledDevice  # needs the extra

        older, rough, last = (kind_of_card().endswith(one) for one in ("75", "rough", "falling"))
        return CompiledDevice(OLDER if older else NEWER, rough=rough, falling=falling or last)
    from emulator import EmulatedDevice

    return EmulatedDevice(falling=falling)


def kernels_of(card: Device) -> Kernels:
    """What makes kernels ready on this card."""
    if is_real():
        from real_card import compiled_kernels

        return compiled_kernels()
    return Ready(card)


def open_with_all_kernels(*, falling: bool = False) -> TestCard:
    card = open_card(falling=falling)
    kernels_of(card).prepare(KERNELS)
    return card


def open_on_card(
    forward: Callable[[Operators], Array],
    limits: Limits,
    card: Device | None = None,
    kv: CacheTypes = ("f16", "f16"),
) -> CudaRunner:
    """A model as a whole; the runner closes the card."""
    card = card or open_card()
    return CudaRunner(card, record(forward), kv, limits, kernels_of(card))
