"""From a file to a model that can run: what fits, which backend, and everything checked before."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from lepton_cli.engine.backends import Backend
from lepton_cli.engine.placement import (
    GpuLayers,
    Needs,
    Placement,
    PositionBytes,
    check_layers,
    needs_of,
)
from lepton_cli.engine.sizes import counted, gigabytes
from lepton_cli.models import ARCHITECTURES
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parameters import Keys
from ops.cache import CacheLayout, CacheType
from ops.cpu.formats import KERNEL_FORMATS
from ops.cpu.machine import MemoryLimit
from ops.interface import BLOCK
from ops.memory_plan import Limits, plan
from ops.program import Recorder
from quant.errors import ModelFileError, OutOfMemoryError, UsageError
from quant.gguf import GGUF

LOGIT_ROWS = 32
"""Rows of logits that a pass can give at most: their buffer is as wide as the vocabulary."""

ADVISED = 0.9  # of the context that fits: what is free now may not be there at the next try

CacheTypes = tuple[CacheType, CacheType]
MOST_THREADS, MOST_TOKENS = 1 << 10, 1 << 20  # in a pass
MOST_CARD_TOKENS = 2048  # a card's kernels reach a row of activations in 32 bits, and need no more


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to run a model. `threads` and `ctx` None: what the machine and the model allow."""

    backend: Backend = "auto"
    threads: int | None = None
    ctx: int | None = None
    kv: CacheTypes = ("f16", "f16")  # of keys, and of values
    ubatch: int = 256  # tokens that enter in one pass
    template: str | None = None  # a built-in template's name, or Jinja text
    prefixes: int = 0  # bytes of disk for beginnings of prompts; 0: none are stored or looked for
    gpu_layers: GpuLayers = "auto"  # the last so many are on the card; 0: the CPU does all

    def __post_init__(self) -> None:
        """Raises UsageError: the words may come from a person's program."""
        check_layers(self.gpu_layers)
        for name, value, known in (
            ("backend", self.backend, get_args(Backend)),
            *(("kv", kind, get_args(CacheType)) for kind in self.kv),
        ):
            if value not in known:
                raise UsageError(f"{name} is {value!r}", f"it may be {', '.join(known)}")
        for name, number, most in (
            ("threads", self.threads, MOST_THREADS),
            ("ubatch", self.ubatch, MOST_TOKENS),
        ):
            if number is not None and not 1 <= number <= most:
                raise UsageError(f"{name} is {number}", f"it may be 1 to {most}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a model takes of the machine's own memory in bytes, and the context that fits."""

    context: int
    weights: int
    cache: int  # with the whole context in use
    buffers: int
    longest: int  # the largest context that could be had instead
    note: str | None = None

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.buffers


def architecture(file: GGUF) -> type[Decoder]:
    """Raises ModelFileError for a file that is no model, or of an architecture not known here."""
    kind = file.metadata.string("general.type", "model")
    if kind != "model":
        raise ModelFileError(f"{file.path}: general.type is {kind!r}, not a model to run")
    name = file.metadata.string("general.architecture")
    if name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        message = f"{file.path}: general.architecture is {name!r}, which Lepton does not know yet"
        raise ModelFileError(message, f"it knows {known}")
    return ARCHITECTURES[name]


def build(file: GGUF, context: int) -> Decoder:
    """The model, with every tensor asked for once and every shape checked."""
    kind = architecture(file)
    try:
        decoder = kind(file, context)
        logits = decoder.forward(Recorder())
        tokens = decoder.weights.weight("token_embd.weight").rows
        if logits.width != tokens:
            message = f"output.weight has {logits.width} rows, token_embd.weight {tokens}"
            raise ModelFileError(message)
    except ModelFileError as error:
        if str(file.path) in error.message:
            raise
        raise ModelFileError(f"{file.path}: {error.message}", error.hint) from error
    decoder.weights.check_all_used(decoder.ignored)
    return decoder


def trained_context(file: GGUF) -> int:
    architecture(file)
    return Keys(file.metadata).positive("context_length")


def cache_layout(decoder: Decoder, kv: CacheTypes) -> CacheLayout:
    """Raises UsageError for types that the model's heads do not fit."""
    layers = range(decoder.parameters.layers)
    return CacheLayout(tuple(decoder.heads(layer) for layer in layers), *kv)


def limits_of(context: int, ubatch: int) -> Limits:
    tokens = min(ubatch, context)
    return Limits(tokens, min(LOGIT_ROWS, tokens))


def gpu_needs(file: GGUF, decoder: Decoder, options: LoadOptions, layout: PositionBytes) -> Needs:
    """What the model would take of a card whose KV cache has this layout."""
    context = options.ctx or decoder.parameters.context
    buffers = buffer_bytes(decoder, limits_of(context, options.ubatch))
    tensors, layers = file.tensors.values(), decoder.parameters.layers
    return needs_of(tensors, decoder.ignored, layers, layout, buffers)


def plan_memory(
    file: GGUF,
    decoder: Decoder,
    options: LoadOptions,
    layout: CacheLayout,
    free: MemoryLimit,
    placement: Placement | None = None,
) -> Plan:
    """The context asked for, or as much of the trained one as memory allows.

    What a placement has put on the card alone is not counted, and `layout` is that of the layers
    that stay. Raises OutOfMemoryError with the numbers, before anything is loaded.
    """
    wanted, trained = options.ctx, decoder.parameters.context
    context = placement.context if placement else wanted or trained
    note = placement.note if placement else None
    weights = weight_bytes(file, placement)
    buffers = buffer_bytes(decoder, limits_of(context, options.ubatch))
    buffers += converted_bytes(file, options.backend, placement)
    room = free.bytes - weights - buffers
    fitting = fitting_context(layout, room, context)
    longest = max(context, min(fitting, decoder.most_positions or fitting))
    full = Plan(context, weights, cache_bytes(layout, context), buffers, longest, note)
    if context <= fitting:
        return full
    if wanted is None and fitting >= BLOCK:
        note = f"context {fitting} of {trained}: memory allows no more ({free.reason})"
        return Plan(fitting, weights, cache_bytes(layout, fitting), buffers, fitting, note)
    message = f"{file.path}: needs {gigabytes(full.total)} (weights {gigabytes(full.weights)}, "
    message += f"cache {gigabytes(full.cache)} for {counted(context, 'token')}); "
    message += str(free)
    advised = max(min(fitting, BLOCK), int(fitting * ADVISED) // BLOCK * BLOCK)
    cure = f"use -c {advised} or less" if fitting >= BLOCK else "use a smaller model"
    raise OutOfMemoryError(message, cure)


def fitting_context(layout: CacheLayout, room: int, context: int) -> int:
    """The longest one whose cache fits; without layers a cache takes nothing."""
    if layout.block_bytes:
        return room // layout.block_bytes * BLOCK
    return context if room >= 0 else 0


def buffer_bytes(decoder: Decoder, limits: Limits) -> int:
    """Of the activations of a pass, and its logits."""
    recorder = Recorder()
    logits = decoder.forward(recorder)
    return plan(recorder.operations, limits, logits)[1]


def weight_bytes(file: GGUF, placement: Placement | None) -> int:
    """Of the file, or of what stays on the CPU of it."""
    if placement is None:
        return file.file_bytes
    return sum(t.data.nbytes for t in file.tensors.values() if placement.on_cpu(t.name))


def converted_bytes(file: GGUF, backend: str, placement: Placement | None = None) -> int:
    """What is held as float32 beside the mapped file: formats without a kernel, or all weights."""
    tensors = [t for t in file.tensors.values() if not placement or placement.on_cpu(t.name)]
    all_of_them = backend == "reference"
    return sum(4 * t.size for t in tensors if all_of_them or t.format.name not in KERNEL_FORMATS)


def cache_bytes(layout: CacheLayout, context: int) -> int:
    return -(-context // BLOCK) * layout.block_bytes


def check_context(wanted: int | None, trained: int) -> str | None:
    """A note when the window is longer than the model was trained for."""
    if wanted is None:
        return None
    if wanted < 1:
        raise UsageError(f"the context (-c) is {wanted}", "use a number of at least 1")
    if wanted > trained:
        return f"context {wanted} is longer than the model was trained for ({trained})"
    return None


def readable_name(path: Path) -> str:
    """A model file's name without its ending and shard number."""
    return path.name.removesuffix(".gguf").split("-00001-of-")[0]
