"""What is settled before a model is loaded: its backend, its place on a card, its memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lepton_cli.engine import loading
from lepton_cli.engine.backends import Choice, GpuUse, choose
from lepton_cli.engine.loading import LoadOptions, Plan
from lepton_cli.engine.placement import place, too_large
from lepton_cli.engine.sizes import counted, gigabytes
from lepton_cli.models.decoder import Decoder
from ops.backend import open_device
from ops.cache import CacheLayout
from ops.cpu.machine import available_memory
from ops.cuda.device import Device
from ops.cuda.probe import find_card
from quant.errors import LeptonError
from quant.gguf import GGUF


@dataclass(frozen=True, slots=True)
class OpenCard:
    """A card that is held, and what of the model goes there."""

    device: Device
    use: GpuUse


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that loading needs. Whoever has it closes the card's device."""

    decoder: Decoder
    layout: CacheLayout  # of all layers
    trained: int  # context
    plan: Plan
    choice: Choice
    card: OpenCard | None
    notes: tuple[str, ...]


def prepare(file: GGUF, options: LoadOptions, on_plan: Callable[[str], None] | None) -> Prepared:
    """Chooses, places and plans. Raises LeptonError before anything is loaded."""
    trained = loading.trained_context(file)
    longer = loading.check_context(options.ctx, trained)
    decoder = loading.build(file, options.ctx or trained)
    layout = loading.cache_layout(decoder, options.kv)
    choice = choose(options.backend, options.gpu_layers, find_card)
    choice, card = open_card(file, decoder, options, choice)
    try:
        plan = plan_rest(file, decoder, options, layout, card, on_plan)
        if plan.context != (options.ctx or trained):
            decoder = loading.build(file, plan.context)
    except BaseException:
        if card:
            card.device.close()
        raise
    notes = (longer, plan.note, choice.no_gpu if choice.told else None)
    told = tuple(note for note in notes if note)
    return Prepared(decoder, layout, trained, plan, choice, card, told)


def open_card(
    file: GGUF, decoder: Decoder, options: LoadOptions, choice: Choice
) -> tuple[Choice, OpenCard | None]:
    """The card that was chosen, with room for the model; the CPU where nobody insists on a card.

    Raises LeptonError for a card that was asked for, but cannot be opened or has too little room.
    """
    if choice.card is None:
        return choice, None
    from ops.cuda.cache import CardCacheLayout  # only where there is a card

    insists = options.backend == "cuda" or options.gpu_layers != "auto"
    heads = loading.cache_layout(decoder, options.kv).layers
    try:
        layout = CardCacheLayout(heads, *options.kv)
        device = open_device(choice.card)
    except LeptonError as error:
        if insists:
            raise
        return choice.on_the_cpu(f"{choice.card.name}: {error.message}"), None
    try:
        free, _ = device.memory()
        needs = loading.gpu_needs(file, decoder, options, layout)
        context = decoder.parameters.context
        placement = place(needs, options.gpu_layers, options.ctx, context, free)
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


def plan_rest(
    file: GGUF,
    decoder: Decoder,
    options: LoadOptions,
    layout: CacheLayout,
    card: OpenCard | None,
    on_plan: Callable[[str], None] | None,
) -> Plan:
    """The machine's own memory, for what is not on the card."""
    free, placement = available_memory(), card.use.placement if card else None
    if placement:
        layout = replace(layout, layers=layout.layers[: placement.cpu_layers])
    plan = loading.plan_memory(file, decoder, options, layout, free, placement)
    if on_plan:
        on_plan(
            f"weights {gigabytes(plan.weights)}, cache up to {gigabytes(plan.cache)} "
            f"for {counted(plan.context, 'token')}, {gigabytes(free.bytes)} free"
        )
    return plan
