"""How many of a model's layers go onto the card, by its free memory.

The last n layers go there, with the output's norm and matrix; the first layers and the embedding
stay on the CPU, so that activations cross once a pass. Where n is all of them, the embedding goes
too. All here is arithmetic on numbers of bytes.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from lepton_cli.engine.sizes import counted, gigabytes
from ops.interface import BLOCK
from quant.errors import OutOfMemoryError, UsageError
from quant.format import row_bytes
from quant.gguf import Tensor

GpuLayers = int | Literal["auto", "all"]
Part = int | Literal["embedding", "head"]

RESERVE = 300_000_000
"""Bytes of the card that stay free: the driver's own needs, and those of the desktop."""
LEAST_CONTEXT = 4096  # what a context that nobody asked for is shrunk to, to have all on the card
QUANTIZED = {"Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"}
CARD_FORMATS = frozenset(QUANTIZED | {"F16", "BF16"})
"""Formats that the card computes with; any other but F32 becomes 2 bytes a weight there."""
ROWS = 32  # a matrix is padded to a multiple of so many rows
COLUMNS = 32  # a row that is no multiple of so many stays float32
UNIT = 128  # weights of a row that lie together on the card: four blocks of 32
EMBEDDING, OUTPUT = "token_embd.", "output."


class PositionBytes(Protocol):
    """A layout of the KV cache."""

    def position_bytes(self, layer: int) -> int:
        """K and V of a layer, for one position."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes on the card, of each layer in turn and of what stands around them."""

    layers: tuple[int, ...]  # weights
    positions: tuple[int, ...]  # K and V of one position
    head: int
    embedding: int  # beside the head: 0 where both are one matrix
    buffers: int  # activations and logits

    def weights(self, count: int) -> int:
        """Of the last `count` layers and what goes with them."""
        if not count:
            return 0
        whole = self.embedding if count == len(self.layers) else 0
        return sum(self.layers[-count:]) + self.head + whole

    def cache(self, count: int, context: int) -> int:
        """With the whole context in use: it grows in blocks."""
        return _blocks(context) * self._block(count)

    def total(self, count: int, context: int) -> int:
        if not count:
            return 0
        return self.weights(count) + self.cache(count, context) + self.buffers

    def most_layers(self, context: int, free: int) -> int:
        """How many fit into `free` bytes."""
        room = free - RESERVE
        counts = range(len(self.layers), 0, -1)
        return next((n for n in counts if self.total(n, context) <= room), 0)

    def most_context(self, count: int, free: int, most: int) -> int:
        """The longest context, `most` at most, with which so many layers fit."""
        room = free - RESERVE - self.total(count, 0)
        block = self._block(count)
        if room < 0:
            return 0
        return most if not block else min(most, room // block * BLOCK)

    def _block(self, count: int) -> int:
        return BLOCK * sum(self.positions[-count:]) if count else 0


@dataclass(frozen=True, slots=True)
class Placement:
    """The last `layers_on_gpu` of `layers` are on the card; `gpu_bytes` with a full context."""

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
        """The first so many are computed by the CPU."""
        return self.layers - self.layers_on_gpu

    def on_cpu(self, tensor: str) -> bool:
        """Whether the CPU needs it; a matrix that is embedding and head may be on both sides."""
        part = part_of(tensor)
        if isinstance(part, int):
            return part < self.cpu_layers
        return not (self.whole if part == "embedding" else self.layers_on_gpu)


def check_layers(layers: GpuLayers) -> None:
    """Raises UsageError."""
    if layers not in ("auto", "all") and not (isinstance(layers, int) and layers >= 0):
        raise UsageError(f"gpu_layers is {layers!r}", "it may be auto, all or a number from 0")


def part_of(tensor: str) -> Part:
    """A layer's number, or the side of the layers on which the tensor is needed."""
    first, _, rest = tensor.partition(".")
    if first == "blk":
        return int(rest.partition(".")[0])
    return "head" if first.startswith("output") else "embedding"


def needs_of(
    tensors: Iterable[Tensor],
    ignored: Collection[str],
    layers: int,
    layout: PositionBytes,
    buffers: int,
) -> Needs:
    """What a model's tensors take on the card, `ignored` ones apart."""
    weights, around = [0] * layers, {"embedding": 0, "head": 0}
    tied, table = True, 0
    for tensor in tensors:
        if tensor.name in ignored:
            continue
        part, size = part_of(tensor.name), card_bytes(tensor)
        if isinstance(part, int):
            weights[part] += size
        else:
            around[part] += size
        tied = tied and not tensor.name.startswith(OUTPUT)
        table += size if tensor.name.startswith(EMBEDDING) else 0
    shared = table if tied else 0
    return Needs(
        layers=tuple(weights),
        positions=tuple(layout.position_bytes(layer) for layer in range(layers)),
        head=around["head"] + shared,
        embedding=around["embedding"] - shared,
        buffers=buffers,
    )


def card_bytes(tensor: Tensor) -> int:
    """Matrices as they lie in the file or as halves; float32, vectors and odd rows as float32."""
    if len(tensor.shape) == 1 or not tensor.name.endswith(".weight"):
        return 4 * tensor.size
    experts, rows, columns = (1, *tensor.shape)[-3:]
    if tensor.format.name == "F32" or columns % COLUMNS:
        return 4 * tensor.size
    row = 2 * columns
    if tensor.format.name in CARD_FORMATS:
        unit = UNIT if tensor.format.block_size == COLUMNS else 1
        row = row_bytes(tensor.format, _up(columns, unit))
    return experts * _up(rows, ROWS) * row


def place(
    needs: Needs, wanted: GpuLayers, ctx: int | None, trained: int, free_bytes: int
) -> Placement:
    """The layers asked for, or with "auto" as many as fit, which may be none.

    The whole context `ctx` must fit. Without one it is the trained one, or as much of it, but 4096
    at least, as lets all layers asked for fit; where they do not fit with that either, "auto" has
    more layers rather than more context. Raises OutOfMemoryError with the numbers.
    """
    layers = len(needs.layers)
    target = layers if isinstance(wanted, str) else min(wanted, layers)
    context, note = ctx or trained, None
    if ctx is None:
        fitting = needs.most_context(target, free_bytes, trained)
        least = min(LEAST_CONTEXT, trained)
        if least <= fitting < trained:
            context = fitting
            note = f"context {context} of {trained}: the GPU's memory allows no more"
        elif fitting < least < trained and wanted == "auto":
            context = least
            note = f"context {context} of {trained}: so the GPU has more layers; -c asks for more"
    count = min(target, needs.most_layers(context, free_bytes))
    if count < target and wanted != "auto":
        raise too_large(needs, target, context, free_bytes)
    return Placement(count, layers, needs.total(count, context), context, note)


def too_large(needs: Needs, count: int, context: int, free_bytes: int) -> OutOfMemoryError:
    """With the most layers that would fit, and the longest context."""
    whole = needs.total(count, context) + RESERVE
    parts = (
        f"weights {gigabytes(needs.weights(count))}",
        f"cache {gigabytes(needs.cache(count, context))} for {counted(context, 'token')}",
        f"buffers {gigabytes(needs.buffers)}",
        f"{gigabytes(RESERVE)} kept free",
    )
    message = f"{count} of {len(needs.layers)} layers on the GPU need {gigabytes(whole)} of its "
    message += f"memory ({', '.join(parts)}); {gigabytes(free_bytes)} are free"
    fewer = needs.most_layers(context, free_bytes)
    shorter = needs.most_context(count, free_bytes, context)
    cures = [f"-ngl {fewer} or less"] if fewer else []
    cures += [f"-c {shorter} or less"] if shorter else []
    return OutOfMemoryError(message, f"use {' or '.join(cures or ['--backend cpu'])}")


def _blocks(context: int) -> int:
    return -(-context // BLOCK)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
