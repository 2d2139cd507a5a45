"""Opens a model: record the program, choose a backend, place layers, plan memory, open."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from lepton_cli.engine.library.sizes import gigabytes
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.adapters import BoundAdapters
from lepton_cli.engine.loading.backends import BackendChoice, GpuUse, choose
from lepton_cli.engine.loading.memory import process_needs
from lepton_cli.engine.loading.parts import OpenHead, Parts
from lepton_cli.engine.loading.placement import Placement, place, too_large
from lepton_cli.engine.loading.plan import LoadOptions, Plan
from lepton_cli.engine.loading.texts import LONGEST, TextModel, names_pooling
from ops.backend import (
    Backend,
    CacheTypes,
    CardBackend,
    CpuBackend,
    Device,
    Resources,
    Runner,
    backend_of,
    find_card,
    open_device,
    open_on_both,
)
from ops.interface import Weight
from ops.machine import MemoryLimit, available_memory, least
from ops.memory_plan import Limits
from ops.needs import Needs
from ops.observing import observed
from ops.operations.observing import Squares
from ops.program import Program
from ops.runners.chain import OutputRunner
from quant.errors import LeptonError, ModelFileError, OutOfMemoryError, UsageError
from quant.gguf import GGUF


@dataclass(frozen=True, slots=True)
class OpenCard:
    """An open card, and the part of the model placed on it."""

    device: Device
    use: GpuUse


@dataclass(frozen=True, slots=True)
class Room:
    """The memory to plan with, of the host and of a card (bytes). None: what is free."""

    host: MemoryLimit | None = None
    card: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that opening needs. Its owner closes the card's device."""

    program: Program
    trained: int  # context
    plan: Plan
    limits: Limits
    choice: BackendChoice
    card: OpenCard | None
    resources: Resources
    notes: tuple[str, ...]
    parts: Parts | None  # for guessing by the model's own head
    texts: TextModel | None  # of a model that is opened for embeddings
    adapters: BoundAdapters

    @property
    def observations(self) -> tuple[Squares, ...]:
        """What each pass of a model that was opened with LoadOptions.observed adds up."""
        return tuple(op for op in self.program.operations if isinstance(op, Squares))

    def backends(self, kv: CacheTypes) -> tuple[Backend, ...]:
        """The backends that compute the layers, in the layers' order."""
        if self.card is None:
            assert self.choice.backend != "cuda", "cuda is only chosen with a card"
            return (backend_of(self.choice.backend, kv, self.resources),)
        used = self.card.use
        on_card = CardBackend(used.card, kv, self.resources, self.card.device)
        whole = used.placement.whole
        return (on_card,) if whole else (CpuBackend(kv, self.resources), on_card)

    def open_text_head(self, options: LoadOptions) -> OutputRunner | None:
        """What goes on with pooled rows, on the CPU wherever the model is. Raises LeptonError."""
        head = self.texts.head if self.texts else None
        if head is None:
            return None
        name: Literal["cpu", "reference"]
        name = "reference" if self.choice.backend == "reference" else "cpu"
        limits = Limits(self.limits.tokens, self.limits.tokens)
        runner = backend_of(name, options.kv, self.resources).open(head, limits)
        return OutputRunner(runner, head.given[0].width, head.output.buffer.width)

    def open(self, options: LoadOptions) -> tuple[Runner, OpenHead | None]:
        """Opens the model and its head; on failure closes the card. Raises LeptonError."""
        try:
            match self.backends(options.kv):
                case (backend,) if self.parts is not None:
                    return self.parts.open(backend, self.program, self.limits)
                case (backend,):
                    return backend.open(self.program, self.limits), None
                case (CpuBackend() as first, CardBackend() as second):
                    assert self.card is not None, "the last layers are on a card"
                    layer = self.card.use.placement.cpu_layers
                    return open_on_both(first, second, self.program, layer, self.limits), None
            raise AssertionError("there is one backend, or the CPU and a card")
        except BaseException:
            if self.card is not None:
                self.card.device.close()
            raise


def prepare(
    file: GGUF,
    options: LoadOptions,
    resources: Resources,
    on_plan: Callable[[str], None] | None,
    beside: Plan | None = None,
    room: Room = Room(),
) -> Prepared:
    """Chooses, places and plans. Raises LeptonError before anything is loaded.

    `beside` is the plan of an open model that may not have taken all of its memory yet.
    """
    trained = loading.trained_context(file)
    longer = loading.check_context(options.ctx, trained)
    options = settled(file, options)
    adapters = BoundAdapters(file, options.adapters)
    program, texts = recorded(file, options, options.ctx or trained, adapters)
    if texts is not None and program.sees_whole_runs and options.ctx is None:
        options = replace(options, ctx=min(trained, LONGEST))
    choice = choose(options.backend, options.gpu_layers, find_card)
    choice, card = open_card(program, trained, options, resources, choice, room.card)
    free = room.host or available_memory()
    try:
        parts, headless = find_parts(
            file, options, options.ctx or trained, adapters, on_card=card is not None
        )
        try:
            plan = plan_rest(file, program, trained, options, card, resources, free, beside, parts)
        except OutOfMemoryError:
            if parts is None or "draft-mtp" in options.named_spec_types:
                raise
            parts, headless = None, "its next-token head does not fit into memory"
            plan = plan_rest(file, program, trained, options, card, resources, free, beside)
        if on_plan:
            on_plan(f"needs {plan}; {plan.free}")
        if plan.context != (options.ctx or trained):  # long-rope factors depend on it
            program, texts = recorded(file, options, plan.context, adapters)
            parts = parts and Parts.of(file, plan.context, adapters)
    except BaseException:
        if card:
            card.device.close()
        raise
    most = loading.MAX_CARD_TOKENS if card else options.ubatch
    limits = loading.limits_of(program, plan.context, min(options.ubatch, most), options.logits)
    notes = (longer, plan.note, choice.no_gpu if choice.announce else None, headless)
    shown = tuple(note for note in notes if note)
    opened = program, trained, plan, limits, choice, card, resources, shown
    return Prepared(*opened, parts, texts, adapters)


def settled(file: GGUF, options: LoadOptions) -> LoadOptions:
    """Decides by the file whether the model is for embeddings, where that was left to it."""
    if options.pooling != "if named":
        return options
    return replace(options, pooling="file" if names_pooling(file) else None)


def recorded(
    file: GGUF, options: LoadOptions, context: int, adapters: BoundAdapters
) -> tuple[Program, TextModel | None]:
    """The program that the options ask for. Raises UsageError for an encoder that is to answer."""
    if options.pooling is not None:
        assert options.pooling != "if named", "it is settled"
        texts = TextModel.of(file, context, options.pooling, adapters)
        return texts.body, texts
    program = loading.build(file, context, adapters)
    if program.output.kind == "hidden":
        kind = file.metadata.string("general.architecture")
        message = f"{file.path} is an encoder ({kind}): it makes embeddings of texts, no answers"
        raise UsageError(message, f"use lepton embed {shlex.quote(str(file.path))} TEXT")
    if options.without:
        program = program.without(options.without)
    if options.observed is not None:
        if program.encoder is not None:
            message = f"{file.path} has an encoder: what enters its products is not collected"
            raise UsageError(message, "use a model without one")
        program = observed(program, Collected(file, of_output=options.observed == "all"))
    return program, None


@dataclass(frozen=True, slots=True)
class Collected:
    """Tells for which of a file's weights an importance matrix has an entry, as llama-imatrix."""

    file: GGUF
    of_output: bool

    def __call__(self, weight: Weight) -> bool:
        """Not for one matrix out of several in a tensor."""
        name, tensor = weight.name, self.file.tensors.get(weight.name)
        if tensor is None or not (name.startswith("blk.") or self._is_output(name)):
            return False
        return (weight.experts, weight.columns) == (tensor.experts, tensor.shape[-1])

    def _is_output(self, name: str) -> bool:
        return self.of_output and name == "output.weight"


def find_parts(
    file: GGUF, options: LoadOptions, context: int, adapters: BoundAdapters, *, on_card: bool
) -> tuple[Parts | None, str | None]:
    """The model's parts if its own head is to guess; or None, and a note if that surprises.

    Raises UsageError, ModelFileError if the user insists on the head.
    """
    insists = "draft-mtp" in options.named_spec_types
    if options.pooling is not None:
        return None, None
    if not options.may_guess_by("draft-mtp") or (on_card and not insists):
        return None, None
    if on_card:
        raise UsageError("next-token heads do not run on a GPU yet", "use --backend cpu")
    try:
        parts = Parts.of(file, context, adapters)
    except ModelFileError as error:
        if insists:
            raise
        return None, f"its next-token head is not used: {error.message}"
    if insists and parts is None:
        message = f"{file.path} has no next-token head that Lepton can run"
        raise UsageError(message, "leave out --spec-type draft-mtp")
    return parts, None


def open_card(
    program: Program,
    trained: int,
    options: LoadOptions,
    resources: Resources,
    choice: BackendChoice,
    room: int | None = None,
) -> tuple[BackendChoice, OpenCard | None]:
    """Opens the chosen card if the model fits; otherwise the CPU, unless the user insists.

    Raises LeptonError if a card was asked for but cannot be opened or has too little memory.
    """
    if choice.card is None:
        return choice, None
    insists = options.backend == "cuda" or options.gpu_layers != "auto"
    backend = CardBackend(choice.card, options.kv, resources)
    limits = options_limits(program, options, trained)
    try:
        refused = backend.refuses(program)
        if refused:
            raise UsageError(refused, "use --backend cpu")
        needs = backend.needs(program, limits)
        device = open_device(choice.card)
    except LeptonError as error:
        if insists:
            raise
        return choice.on_the_cpu(f"{choice.card.name}: {error.message}"), None
    try:
        free = device.memory()[0] if room is None else room
        placement = place(needs, options.gpu_layers, options.ctx, trained, free)
        if placement.layers_on_gpu:
            return choice, OpenCard(device, GpuUse(choice.card, free, placement))
        if insists:
            raise too_large(needs, 1, placement.context, free)
    except BaseException:
        device.close()
        raise
    device.close()
    reason = f"{choice.card.name} has {gigabytes(free)} free, too little for a layer of the model"
    return choice.on_the_cpu(reason), None


def options_limits(program: Program, options: LoadOptions, context: int) -> Limits:
    """The limits of the largest step, with the context asked for, or else this one."""
    return loading.limits_of(program, options.ctx or context, options.ubatch, options.logits)


def plan_rest(
    file: GGUF,
    program: Program,
    trained: int,
    options: LoadOptions,
    card: OpenCard | None,
    resources: Resources,
    free: MemoryLimit,
    beside: Plan | None,
    parts: Parts | None = None,
) -> Plan:
    """Plans the host memory for what is not on the card."""
    placement = card.use.placement if card else None
    needs = needs_here(program, trained, options, placement, resources, parts)
    needs, end = replace(needs, process=process_needs(file.metadata)), program.most_positions
    if beside is not None:
        free = least(free, beside.left)
        trained = min(trained, beside.context)  # more positions are never used
    try:
        return loading.plan_memory(
            file.path,
            needs,
            options.ctx,
            trained,
            free,
            placement,
            end,
            options.checkpoints,
        )
    except OutOfMemoryError as error:
        if beside is None:
            raise
        raise OutOfMemoryError(error.message, "leave out -md, or use a smaller -c") from error


def needs_here(
    program: Program,
    trained: int,
    options: LoadOptions,
    placement: Placement | None,
    resources: Resources,
    parts: Parts | None = None,
) -> Needs:
    """The needs of the layers that the CPU computes, or of all parts."""
    limits = options_limits(program, options, trained)
    if placement:
        limits = loading.limits_of(program, placement.context, options.ubatch, options.logits)
    name: Literal["cpu", "reference"] = "reference" if options.backend == "reference" else "cpu"
    backend: Backend = backend_of(name, options.kv, resources)
    if parts is not None:
        return parts.needs(backend, limits)
    if placement is None or not placement.layers_on_gpu:
        return backend.needs(program, limits)
    if placement.whole:
        whole = backend.needs(program, limits)
        return Needs((), (), 0, 0, whole.buffers)
    before, _ = program.split(placement.cpu_layers)
    return backend.needs(before, limits)
