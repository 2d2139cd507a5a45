"""What a benchmark holds speeds against: the limits of the machine or of the card, measured."""

from collections.abc import Callable
from contextlib import closing
from typing import Protocol

from lepton_cli.engine.backends import GpuUse
from lepton_cli.engine.model import kernel_folder
from ops.cpu.limits import LimitMeter
from ops.cpu.objects import ObjectStore
from ops.cuda.probe import Card
from ops.limits import MachineLimits
from ops.shelves import Compiling
from quant.errors import OutOfMemoryError

COPIED = 512 << 20  # bytes: many times a card's cache


class Meter(Protocol):
    """Measures again whenever it is asked."""

    def measure(self) -> MachineLimits | None: ...
    def close(self) -> None: ...


class CardMeter:
    """By copies on the card, beside the model; its multipliers are not measured."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def measure(self) -> MachineLimits | None:
        """Takes half of the memory that is free, at most. Raises LeptonError.

        None where others took that memory meanwhile: no reason to end a benchmark.
        """
        from ops.cuda.bandwidth import copy_bandwidth  # of the extra: where there is a card
        from ops.cuda.driver import open_driver

        with closing(open_driver(self._card.index)) as driver:
            free, _ = driver.memory()
            try:
                return MachineLimits(copy_bandwidth(driver, min(COPIED, free // 4)), None)
            except OutOfMemoryError:
                return None

    def close(self) -> None:
        """Nothing is held between measurements."""


class NoMeter:
    """Of a model on the CPU and a card: what each has to do is not told apart."""

    def measure(self) -> None:
        return None

    def close(self) -> None:
        """Nothing is held."""


def open_meter(gpu: GpuUse | None, threads: int, on_compile: Callable[[Compiling], None]) -> Meter:
    """Of what computes the whole model."""
    if gpu is None:
        return LimitMeter(threads, ObjectStore(kernel_folder(), on_compile))
    return CardMeter(gpu.card) if gpu.placement.whole else NoMeter()
