"""A chooser of formats for a file of a given size, by what was measured on a text."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lepton_cli.engine.files.trial import CONTEXT
from lepton_cli.engine.library.sizes import typed_size
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loss.estimates import Estimate
from lepton_cli.engine.loss.trials import Open, Trials, check_predicts
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.shrinking.choosing import Chooser, is_quantized
from lepton_cli.engine.shrinking.importance import Importance
from lepton_cli.engine.shrinking.presets import PRESETS, Preset
from lepton_cli.engine.shrinking.quantizing import Converted, Request, converted, quantized_outputs
from lepton_cli.engine.shrinking.sensitivity import Progress, Sensitivity
from lepton_cli.engine.shrinking.sizing import Option, chosen_for_size
from ops.encoding.encoder import Encoder
from quant.errors import UsageError
from quant.format import FORMATS, Format
from quant.gguf import GGUF

CANDIDATES = ("Q2_K", "Q3_K", "IQ3_S", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0")
WITH_IMPORTANCE = ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS")  # useless without
MEASURED = 16  # windows of the text: a trial for each kind and depth of tensors reads them all
FOR_OTHER_ROWS = ("Q4_0", "IQ4_NL", "Q4_1", "Q5_0", "Q5_1", "Q8_0")  # of no whole 256 columns


def candidates(importance: Importance | None) -> list[Format]:
    """The formats to choose from, whose blocks fit or do not fit a tensor's rows."""
    names = (*CANDIDATES, *FOR_OTHER_ROWS, "F16", *(WITH_IMPORTANCE if importance else ()))
    return [FORMATS[name] for name in dict.fromkeys(names)]


def to_be_chosen(file: GGUF) -> list[str]:
    """The tensors whose formats matter to a file's size."""
    return [tensor.name for tensor in file.tensors.values() if is_quantized(tensor)]


@dataclass(frozen=True, slots=True)
class SizePlan:
    """A format for each tensor. `loss`: the divergence that is expected, in nats a token."""

    options: dict[str, Option]

    @property
    def loss(self) -> float:
        return sum(option.loss for option in self.options.values())

    @property
    def bytes(self) -> int:
        """Of the tensors whose formats are chosen."""
        return sum(option.bytes for option in self.options.values())

    @property
    def types(self) -> Counter[str]:
        """How many tensors have each format."""
        return Counter(option.format.name for option in self.options.values())

    @property
    def preset(self) -> Preset:
        """The file type that most of the bytes have."""
        taken = Counter[str]()
        for option in self.options.values():
            taken[option.format.name] += option.bytes
        [(most, _)] = taken.most_common(1)
        return next(preset for preset in PRESETS.values() if preset.base == most)

    def chooser(self) -> Chooser:
        formats = {name: option.format for name, option in self.options.items()}
        return lambda tensors: formats


def plan_for_size(
    file: GGUF, request: Request, sensitivity: Sensitivity, formats: Sequence[Format], most: int
) -> SizePlan:
    """What loses least in a file of at most `most` bytes. Raises UsageError with the least size."""
    options = sensitivity.options(formats)
    smallest = SizePlan({name: min(each, key=_size) for name, each in options.items()})
    least = _file_bytes(file, request, smallest)
    if least > most:
        message = f"with these types the file has {typed_size(least)} bytes at least"
        larger = f"use --target-size {typed_size(least)} or more"
        hint = f"{larger}, or an imatrix, with which smaller types can be had"
        raise UsageError(f"{message}, not {typed_size(most)}", hint)
    lowest = smallest.bytes
    budget = lowest + most - least
    while True:
        plan = SizePlan(chosen_for_size(options, budget))
        excess = _file_bytes(file, request, plan) - most  # of the tensors' alignment
        if excess <= 0:
            return plan
        budget = max(lowest, budget - excess)


def _size(option: Option) -> tuple[int, float]:
    return option.bytes, option.loss


def _file_bytes(file: GGUF, request: Request, plan: SizePlan) -> int:
    tensors = converted(file, request, plan.chooser())
    outputs = quantized_outputs(file, file.path, request, tensors, None)
    return sum(output.header.file_bytes for output in outputs)


@dataclass(frozen=True, slots=True)
class Sized:
    """What was chosen for a size: `tensors` of `request` are written. `trials`: on the text."""

    plan: SizePlan
    request: Request
    tensors: list[Converted]
    trials: Trials

    def measured(self, path: Path) -> Estimate:
        """The divergence of the file that was written. Raises LeptonError."""
        return self.trials.divergence(loading.build(GGUF.open(path), CONTEXT)).mean


def chosen_by_text(
    file: GGUF,
    request: Request,
    most: int,
    windows: Sequence[TokenWindow],
    encoder: Encoder,
    start: Open,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Sized:
    """Formats for a file of at most `most` bytes, by what each would do to the model on a text.

    `encoder`: with the kernels of `candidates`. Raises LeptonError.
    """
    program = loading.build(file, CONTEXT)
    check_predicts(program, file.path)
    sensitivity = Sensitivity(file, program, to_be_chosen(file), request.importance, encoder)
    trials = Trials(program, windows[:MEASURED], start)
    for progress in sensitivity.measure(trials):
        tell(progress)
    plan = plan_for_size(file, request, sensitivity, candidates(request.importance), most)
    request = replace(request, preset=plan.preset)
    return Sized(plan, request, converted(file, request, plan.chooser()), trials)
