"""What a model would need with each of several settings, and the context that fits with each.

All figures come from `prepare`, which plans a model before it is opened; nothing is loaded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from lepton_cli.engine.library.paths import kernel_folder
from lepton_cli.engine.loading.backends import GpuUse
from lepton_cli.engine.loading.placement import GpuLayers
from lepton_cli.engine.loading.plan import CacheTypes, LoadOptions, Plan, trained_context
from lepton_cli.engine.loading.prepare import Prepared, Room, prepare
from ops.backend import Resources
from ops.machine import MemoryLimit, available_memory, default_threads
from quant.errors import OutOfMemoryError, UsageError
from quant.gguf import GGUF

LEAST = 4096  # tokens: the first context that is shown if none is asked for
USUAL_TYPES: tuple[CacheTypes, ...] = (("f16", "f16"), ("q8_0", "q8_0"), ("q4_0", "q4_0"))
ENDLESS = MemoryLimit(1 << 60, "without limit")


@dataclass(frozen=True, slots=True)
class Setting:
    """What was asked for. `context` None: as loading chooses it."""

    context: int | None
    kv: CacheTypes
    gpu_layers: GpuLayers


@dataclass(frozen=True, slots=True)
class Estimate:
    """The memory that a setting takes. `obstacle`: why it does not fit, if it does not."""

    setting: Setting
    plan: Plan
    gpu: GpuUse | None
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class Estimates:
    """`largest`: for each cache type and number of layers, with the longest context that fits.

    Its `plan.longest` is that context; None where nothing fits.
    """

    trained: int  # context
    free: MemoryLimit  # of the host
    settings: tuple[Estimate, ...]
    largest: dict[Setting, Estimate | None]
    no_gpu: str | None


def estimate(
    file: GGUF,
    base: LoadOptions,
    contexts: Sequence[int],
    types: Sequence[CacheTypes],
    layers: Sequence[GpuLayers],
) -> Estimates:
    """Every combination; `contexts` or `types` empty: the usual ones.

    Raises ModelFileError; UsageError for a cache type that the model cannot have.
    """
    trained = trained_context(file)
    resources = Resources(base.threads or default_threads().count, kernel_folder(), _ignore)
    chosen = _Estimator(file, base, resources)
    kinds = types or [kind for kind in USUAL_TYPES if chosen.can_have(kind)]
    lengths = contexts or list(_usual_contexts(trained))
    settings = tuple(
        chosen.of(Setting(context, kv, count))
        for count, kv, context in product(layers, kinds, lengths)
    )
    choices = [Setting(None, kv, count) for count, kv in product(layers, kinds)]
    largest = {each: chosen.largest(each) for each in choices}
    return Estimates(trained, chosen.free, settings, largest, chosen.no_gpu)


def _ignore(_: object) -> None:
    """Nothing is compiled."""


def _usual_contexts(trained: int) -> Iterator[int]:
    """Doubled up to the trained one."""
    context = min(LEAST, trained)
    while context < trained:
        yield context
        context *= 2
    yield trained


class _Estimator:
    """Prepares one file with one setting after the other."""

    def __init__(self, file: GGUF, base: LoadOptions, resources: Resources) -> None:
        self._file, self._base, self._resources = file, base, resources
        self.free = available_memory()
        self.no_gpu: str | None = None

    def can_have(self, kv: CacheTypes) -> bool:
        """Whether the heads are wide enough for the type's blocks."""
        try:
            self._prepared(Setting(1, kv, 0), Room(ENDLESS))
        except UsageError:
            return False
        return True

    def of(self, setting: Setting) -> Estimate:
        """With the memory that is free; if that is too little, with more, to know how much."""
        obstacle: str | None = None
        for room in (Room(self.free), Room(ENDLESS), Room(ENDLESS, ENDLESS.bytes)):
            try:
                prepared = self._prepared(setting, room)
            except OutOfMemoryError as error:
                obstacle = obstacle or error.message
                continue
            self.no_gpu = prepared.choice.no_gpu
            use = prepared.card.use if prepared.card else None
            return Estimate(setting, prepared.plan, use, obstacle)
        raise AssertionError("everything fits into memory without limit")

    def largest(self, setting: Setting) -> Estimate | None:
        found = self.of(setting)
        return None if found.obstacle else found

    def _prepared(self, setting: Setting, room: Room) -> Prepared:
        """Its card is closed again. Raises LeptonError."""
        options = replace(
            self._base, ctx=setting.context, kv=setting.kv, gpu_layers=setting.gpu_layers
        )
        if room.host is ENDLESS:  # checkpoints are only taken where there is room for them
            options = replace(options, checkpoints=0)
        prepared = prepare(self._file, options, self._resources, None, room=room)
        if prepared.card is not None:
            prepared.card.device.close()
        return prepared
