"""How many of a model's layers are placed on the card, by its free memory.

The last n layers are on the card, with the output's norm and matrix; the first layers and the
embedding stay on the CPU, so that activations cross once per pass. If n is all of them, the
embedding is on the card too. Everything here is arithmetic on byte counts.
"""

from dataclasses import dataclass
from typing import Literal

from lepton_cli.engine.library.sizes import counted, gigabytes
from ops.interface import BLOCK
from ops.needs import Needs
from quant.errors import OutOfMemoryError, UsageError

GpuLayers = int | Literal["auto", "all"]

RESERVE = 300_000_000
"""Bytes of the card's memory that stay free for the driver and the desktop."""
MIN_CONTEXT = 4096  # a default context may shrink to this, so that all layers fit on the card


def most_layers(needs: Needs, context: int, free: int) -> int:
    """The largest number of layers that fits into `free` bytes."""
    room = free - RESERVE
    counts = range(len(needs.layers), 0, -1)
    return next((n for n in counts if needs.total(n, context) <= room), 0)


def most_context(needs: Needs, count: int, free: int, most: int) -> int:
    """The longest context, up to `most`, with which `count` layers fit."""
    room = free - RESERVE - needs.total(count, 0)
    block = needs.block(count)
    if room < 0:
        return 0
    return most if not block else min(most, room // block * BLOCK)


@dataclass(frozen=True, slots=True)
class Placement:
    """The last `layers_on_gpu` of `layers` are on the card; `gpu_bytes` at a full context."""

    layers_on_gpu: int
    layers: int
    gpu_bytes: int
    context: int
    note: str | None = None

    @property
    def whole(self) -> bool:
        return self.layers_on_gpu == self.layers

    @property
    def cpu_layers(self) -> int:
        """The number of first layers that the CPU computes."""
        return self.layers - self.layers_on_gpu


def check_layers(layers: GpuLayers) -> None:
    """Raises UsageError."""
    if layers not in ("auto", "all") and not (isinstance(layers, int) and layers >= 0):
        raise UsageError(f"gpu_layers is {layers!r}", "it may be auto, all or a number from 0")


def place(
    needs: Needs, wanted: GpuLayers, ctx: int | None, trained: int, free_bytes: int
) -> Placement:
    """Places the layers asked for, or with "auto" as many as fit, perhaps none.

    A given context `ctx` must fit as a whole. Otherwise the trained context is shrunk, to 4096 at
    least, until all requested layers fit; if they do not fit even then, "auto" prefers more layers
    to more context. Raises OutOfMemoryError with the numbers.
    """
    layers = len(needs.layers)
    target = layers if isinstance(wanted, str) else min(wanted, layers)
    context, note = ctx or trained, None
    if ctx is None:
        fitting = most_context(needs, target, free_bytes, trained)
        least = min(MIN_CONTEXT, trained)
        if least <= fitting < trained:
            context = fitting
            note = f"context {context} of {trained}: limited by the GPU's memory"
        elif fitting < least < trained and wanted == "auto":
            context = least
            note = f"context {context} of {trained}: leaves more layers on the GPU; -c sets it"
    count = min(target, most_layers(needs, context, free_bytes))
    if count < target and wanted != "auto":
        raise too_large(needs, target, context, free_bytes)
    return Placement(count, layers, needs.total(count, context), context, note)


def too_large(needs: Needs, count: int, context: int, free_bytes: int) -> OutOfMemoryError:
    """The error, which suggests the most layers and the longest context that would fit."""
    whole = needs.total(count, context) + RESERVE
    parts = (
        f"weights {gigabytes(needs.weights(count))}",
        f"cache {gigabytes(needs.cache(count, context))} for {counted(context, 'token')}",
        f"buffers {gigabytes(needs.buffers)}",
        f"{gigabytes(RESERVE)} kept free",
    )
    message = f"{count} of {len(needs.layers)} layers on the GPU need {gigabytes(whole)} of its "
    message += f"memory ({', '.join(parts)}); {gigabytes(free_bytes)} are free"
    fewer = most_layers(needs, context, free_bytes)
    shorter = most_context(needs, count, free_bytes, context)
    cures = [f"-ngl {fewer} or less"] if fewer else []
    cures += [f"-c {shorter} or less"] if shorter else []
    return OutOfMemoryError(message, f"use {' or '.join(cures or ['--backend cpu'])}")
