"""Load options, and the plan of a model's memory, checked before anything is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from lepton_cli.engine.library.sizes import counted, gigabytes
from lepton_cli.engine.loading.adapters import AdapterFile, BoundAdapters, how_to_use
from lepton_cli.engine.loading.backends import Backend
from lepton_cli.engine.loading.placement import GpuLayers, Placement, check_layers
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.keys import Keys
from lepton_cli.models.pooling import HEADS, OUTPUT, POOLINGS, Pooling
from lepton_cli.models.registry import ARCHITECTURES, decoder_class
from ops.backend import CacheTypes as CacheTypes  # for the screen, which imports only the engine
from ops.interface import BLOCK
from ops.machine import MemoryLimit
from ops.memory_plan import Limits
from ops.needs import Needs
from ops.operations.attention import Attention
from ops.program import Program
from ops.state.blocks import MAX_CHECKPOINTS
from ops.state.formats import CacheType
from ops.state.layout import StateLayout
from quant.errors import ModelFileError, OutOfMemoryError, UsageError
from quant.gguf import GGUF

LOGIT_ROWS = 32
"""The most rows of logits per pass; each is as wide as the vocabulary."""

NO_ROOM = "free memory, raise that limit, or use a smaller model"
ADVISED = 0.9  # of the context that fits: less memory may be free at the next try

LIVE_STATES = 2  # of recurrent layers: the present one, and the one before the last pass
MOST_CHECKPOINTS = 1 << 10
WIDESPREAD = ("llama", "qwen2", "qwen3", "qwen3moe", "gemma3", "phi3", "command-r", "gpt2")
"""What an unknown architecture's tensors are compared with, beside those of similar names."""

MAX_THREADS, MAX_TOKENS = 1 << 10, 1 << 20  # per pass
MAX_CARD_TOKENS = 2048  # the kernels' 32-bit offsets cover so many rows; more is not faster


SpecType = Literal["ngram-simple", "draft-simple", "draft-mtp"]
"""What guesses tokens: earlier text, a draft model, or the model's own next-token head."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to run a model. `threads` and `ctx` None: what machine and model allow."""

    backend: Backend = "auto"
    threads: int | None = None
    ctx: int | None = None
    kv: CacheTypes = ("f16", "f16")  # of keys, and of values
    ubatch: int = 256  # prompt tokens per pass
    template: str | None = None  # a built-in template's name, or Jinja text
    prefixes: int = 0  # bytes of disk for the prompt cache; 0: off
    weights: int = 0  # bytes of disk for packed weights, which later starts map; 0: off
    checkpoints: int = MAX_CHECKPOINTS  # of recurrent layers, if memory allows as many
    gpu_layers: GpuLayers = "auto"  # number of last layers on the card; 0: all on the CPU
    spec_types: tuple[SpecType, ...] | Literal["auto"] = ("ngram-simple", "draft-simple")
    """For speculative decoding; auto: also the model's own head if it has one that fits."""
    adapters: tuple[AdapterFile, ...] = ()
    without: frozenset[int] = frozenset()  # layers that are left out
    logits: int = 0  # bytes of logits a pass may give, if LOGIT_ROWS rows take fewer
    observed: Literal["blocks", "all"] | None = None
    """Add up the squares of what enters products, of the blocks or also of the output, instead of
    giving logits (Model.observations)."""
    pooling: Pooling | Literal["file", "if named"] | None = None
    """For embeddings, as the file says or otherwise; if named: unless it says nothing and can
    generate. None: to generate."""

    def __post_init__(self) -> None:
        """Raises UsageError: values may come from a user's program."""
        check_layers(self.gpu_layers)
        for name, value, known in (
            ("backend", self.backend, get_args(Backend)),
            *(("spec_types", kind, get_args(SpecType)) for kind in self.named_spec_types),
            *(("kv", kind, get_args(CacheType)) for kind in self.kv),
            ("pooling", self.pooling or "file", (*POOLINGS, "file", "if named")),
        ):
            if value not in known:
                raise UsageError(f"{name} is {value!r}", f"it may be {', '.join(known)}")
        for name, number, most in (
            ("threads", self.threads, MAX_THREADS),
            ("ubatch", self.ubatch, MAX_TOKENS),
        ):
            if number is not None and not 1 <= number <= most:
                raise UsageError(f"{name} is {number}", f"it may be 1 to {most}")
        if self.observed is not None and self.backend == "reference":
            raise UsageError("the reference backend observes no products", "use --backend cpu")
        if not 0 <= self.checkpoints <= MOST_CHECKPOINTS:
            hint = f"it may be 0 to {MOST_CHECKPOINTS}"
            raise UsageError(f"checkpoints is {self.checkpoints}", hint)

    @property
    def named_spec_types(self) -> tuple[SpecType, ...]:
        """Those that were asked for by name."""
        return () if self.spec_types == "auto" else self.spec_types

    def may_guess_by(self, kind: SpecType) -> bool:
        return self.spec_types == "auto" or kind in self.spec_types


@dataclass(frozen=True, slots=True)
class Plan:
    """The host memory that a model needs, in bytes, and the context that fits."""

    context: int
    weights: int
    cache: int  # at a full context
    buffers: int
    process: int  # the tokenizer, and a reserve
    longest: int  # the largest possible context
    free: MemoryLimit  # before loading
    note: str | None = None
    state: int = 0  # of recurrent layers, with its checkpoints
    checkpoints: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.state + self.buffers + self.process

    @property
    def left(self) -> MemoryLimit:
        """The free memory for another model beside this one."""
        rest = max(0, self.free.bytes - self.total)
        return MemoryLimit(rest, f"{self.free.reason}, beside the model")

    def batch_bytes(self, layout: StateLayout, blocks: int) -> int:
        """The bytes of state that a batch may use: half of the memory for so many free blocks.

        In host memory at most what the plan reserves and leaves.
        """
        planned = -(-self.context // BLOCK) * layout.block_bytes + layout.slot_bytes
        room = blocks * max(1, layout.block_bytes) // 2
        if self.cache or layout.slots:
            room = min(room, planned + self.left.bytes)
        return max(planned, room)

    def with_checkpoints(self, wanted: int, size: int) -> "Plan":
        """The same with as many checkpoints of `size` bytes as are wanted and fit."""
        if not size:
            return self
        count = max(0, min(wanted, self.left.bytes // size - LIVE_STATES))
        return replace(self, state=(LIVE_STATES + count) * size, checkpoints=count)

    def __str__(self) -> str:
        kept = f"{gigabytes(self.state)} for {counted(self.checkpoints, 'checkpoint')}"
        return (
            f"{gigabytes(self.total)} (weights {gigabytes(self.weights)}, "
            f"cache {gigabytes(self.cache)} for {counted(self.context, 'token')}, "
            f"{f'recurrent state {kept}, ' if self.state else ''}"
            f"buffers {gigabytes(self.buffers)}, "
            f"tokenizer and reserve {gigabytes(self.process)})"
        )


def architecture(file: GGUF) -> type[Decoder]:
    """Raises ModelFileError for a file that is not a model, or of an unknown architecture."""
    kind = file.metadata.string("general.type", "model")
    if kind != "model":
        message = f"{file.path}: general.type is {kind!r}, not a model to run"
        raise ModelFileError(message, how_to_use(file.metadata))
    name = file.metadata.string("general.architecture")
    if name not in ARCHITECTURES:
        message = f"{file.path}: general.architecture is {name!r}, which Lepton does not know yet"
        raise ModelFileError(message, how_to_use(file.metadata) or _nearest(file, name))
    return decoder_class(name)


def _nearest(file: GGUF, name: str) -> str:
    """What an unknown architecture is most like: by all its tensors, or else by its name."""
    for known in (*get_close_matches(name, ARCHITECTURES), *WIDESPREAD):
        try:
            _record(decoder_class(known), file, 1, BoundAdapters())
        except ModelFileError:  # it has other tensors
            continue
        return f"its tensors are those of {known}; what the model does with them may differ"
    alike = ", ".join(get_close_matches(name, ARCHITECTURES))
    nearest = f"the most similar known names are {alike}" if alike else "no known name is similar"
    return f"{nearest}; `lepton models --architectures` lists all"


def build(file: GGUF, context: int, adapters: BoundAdapters | None = None) -> Program:
    """Records the model's program; checks that every tensor is used and every shape fits."""
    return _record(architecture(file), file, context, adapters or BoundAdapters())


def _record(kind: type[Decoder], file: GGUF, context: int, adapters: BoundAdapters) -> Program:
    with naming(file, *adapters.paths):
        decoder = kind(file, context)
        decoder.directions = adapters.directions
        gives: Literal["logits", "hidden"] = "logits" if decoder.generates else "hidden"
        program = adapters.recorded(decoder.forward, file, gives)
        check_seen(decoder, program)
        if decoder.start_token is not None:
            encoder = adapters.recorded(decoder.encode, file, "hidden")
            program = program.reading(encoder, decoder.start_token)
        tokens = decoder.embedding
        if decoder.generates and program.output.buffer.width != tokens.rows:
            message = f"output.weight has {program.output.buffer.width} rows"
            message += f", {tokens.name} {tokens.rows}"
            raise ModelFileError(message)
    check_all_used(decoder)
    adapters.check_used(program.parts, decoder.further_blocks)
    return program


@contextmanager
def naming(file: GGUF, *others: Path) -> Iterator[None]:
    """Names the file in errors that name neither it nor one of the others."""
    try:
        yield
    except ModelFileError as error:
        if any(str(path) in error.message for path in (file.path, *others)):
            raise
        raise ModelFileError(f"{file.path}: {error.message}", error.hint) from error


def check_seen(decoder: Decoder, program: Program) -> None:
    """Raises ModelFileError where a file wants tokens to see those behind them, and layers cannot.

    Recurrent layers read what is before a token; what a decoder's windows are then is not known.
    """
    if decoder.sees == type(decoder).sees:
        return
    heads = [op.heads for op in program.operations if isinstance(op, Attention)]
    if any(each.window is not None for each in heads) or len(program.states) > len(program.pages):
        raise decoder.keys.error("attention.causal", "is false: not all layers can see whole texts")


def check_all_used(decoder: Decoder) -> None:
    """Raises ModelFileError for a tensor that the model has no use for."""
    unneeded = HEADS if decoder.generates else HEADS | OUTPUT
    decoder.weights.check_all_used(decoder.ignored | unneeded, decoder.further_blocks)


def trained_context(file: GGUF) -> int:
    """How many positions the model was trained with: each of its `texts` has so many."""
    return architecture(file).texts * Keys(file.metadata).positive("context_length")


def limits_of(program: Program, context: int, ubatch: int, logits: int = 0) -> Limits:
    """Of a sequence that has to be run in one step, the logits of all tokens may be wanted.

    `logits`: see LoadOptions.

    A step of texts whose rows are wanted may hold several; one that has to be run in one step, as
    an encoder's prompt, may be as long as the context.
    """
    whole = program.sees_whole_runs
    if program.encoder is not None:
        return Limits(max(ubatch, context), LOGIT_ROWS)
    if program.output.kind == "hidden":
        tokens = max(ubatch, context) if whole else ubatch
        return Limits(tokens, tokens)
    tokens = min(ubatch, context)
    rows = max(LOGIT_ROWS, logits // (4 * program.vocabulary))
    return Limits(tokens, tokens if whole else min(rows, tokens))


def plan_memory(
    path: Path,
    needs: Needs,
    wanted: int | None,
    trained: int,
    free: MemoryLimit,
    placement: Placement | None = None,
    most_positions: int | None = None,
    checkpoints: int = MAX_CHECKPOINTS,
) -> Plan:
    """Plans for the context asked for, or as much of the trained one as memory allows.

    `needs`: of the part that the CPU computes. `most_positions`: the model's own limit, if it has a
    table of positions. As many `checkpoints` of recurrent layers are planned as fit; a context that
    was not asked for leaves them up to a quarter of the memory.
    Raises OutOfMemoryError with the numbers, before anything is loaded.
    """
    context = placement.context if placement else wanted or trained
    note = placement.note if placement else None
    layers = placement.cpu_layers if placement else len(needs.layers)
    weights = needs.weights(layers)
    room = free.bytes - weights - needs.buffers - needs.process - LIVE_STATES * needs.state
    if wanted is None:
        room -= min(checkpoints * needs.state, max(0, room) // 4)
    block = needs.block(layers)
    fitting = room // block * BLOCK if block else context * (room >= 0)
    longest = max(context, min(fitting, most_positions or fitting))
    cache = needs.cache(layers, context)
    full = Plan(context, weights, cache, needs.buffers, needs.process, longest, free, note)
    if context <= fitting:
        return full.with_checkpoints(checkpoints, needs.state)
    if wanted is None and fitting >= BLOCK:
        note = f"context {fitting} of {trained}: limited by memory ({free.reason})"
        cache = needs.cache(layers, fitting)
        full = replace(full, context=fitting, cache=cache, longest=fitting, note=note)
        return full.with_checkpoints(checkpoints, needs.state)
    message = f"{path}: needs {full}; {free}"
    advised = max(min(fitting, BLOCK), int(fitting * ADVISED) // BLOCK * BLOCK)
    cure = f"use -c {advised} or less" if fitting >= BLOCK else NO_ROOM
    raise OutOfMemoryError(message, cure)


def check_context(wanted: int | None, trained: int) -> str | None:
    """A note if the context is longer than the model was trained for. Raises UsageError."""
    if wanted is None:
        return None
    if wanted < 1:
        raise UsageError(f"the context (-c) is {wanted}", "use a number of at least 1")
    if wanted > trained:
        return f"context {wanted} is longer than the model was trained for ({trained})"
    return None
