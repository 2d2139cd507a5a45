"""Opens a model with the options of the command line, and prints notes about it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Literal, get_args

from lepton_cli.engine import model as engine
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.loading.adapters import AdapterFile
from lepton_cli.engine.loading.placement import GpuLayers
from lepton_cli.engine.loading.plan import LoadOptions, SpecType
from lepton_cli.engine.model import Model
from lepton_cli.ui.arguments.adapters import adapters_of, lora_of
from lepton_cli.ui.arguments.options.chat import ConversationOptions
from lepton_cli.ui.arguments.options.model import ModelOptions
from lepton_cli.ui.arguments.text_values import one_text
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError
from quant.gguf import GGUF

if TYPE_CHECKING:  # a start would build the options of other commands
    from lepton_cli.ui.arguments.options.measuring import RunningOptions
    from lepton_cli.ui.arguments.options.texts import PoolingChoice, TextModelOptions

SHORT = 1.0  # seconds that nobody asks about
KEEPING = (
    "packed weights are being kept on disk, so that later starts are faster; "
    "Ctrl-C: not now, --weight-cache 0: never"
)
REMEMBERED = "auto"  # a draft: what `lepton draft` found best for the model
OTHER_NGRAMS = ("ngram-cache", "ngram-map-k", "ngram-map-k4v", "ngram-mod")


def open_model(
    path: Path,
    options: ModelOptions,
    talk: ConversationOptions,
    adapters: Sequence[AdapterFile] = (),
) -> Model:
    """Opens the model, with `adapters` if the options name none; notes go to stderr."""
    if options.model_draft == REMEMBERED:
        options = _with_remembered(path, options)
    wanted = load_options(options, talk)
    wanted = replace(wanted, adapters=wanted.adapters or tuple(adapters))
    on_plan, progress = note if options.verbose else None, CompileNotes(verbose=options.verbose)
    model = engine.open_model(path, wanted, on_plan, progress)
    if options.model_draft is not None:
        add_draft(model, options.model_draft, draft_options(wanted))
    if options.audit is not None:
        model.audit(Path(options.audit))
    _tell(model, options)
    return model


def _with_remembered(path: Path, options: ModelOptions) -> ModelOptions:
    """With the draft that is remembered for a model, or none if it cannot be used any more.

    Raises UsageError if none was measured.
    """
    from lepton_cli.engine.drafting.remembered import fault_of, remembered  # for start-up time

    pair = remembered(GGUF.open(path))
    if pair is None:
        hint = f"measure some on a text: lepton draft {quote(str(path))} text.txt"
        raise UsageError(f"-md auto: no draft is remembered for {path}", hint)
    fault = fault_of(pair)
    if fault is not None:
        note(f"-md auto: {fault}: no draft model is used")
        return replace(options, model_draft=None)
    if options.verbose:
        note(f"-md auto: {pair.draft or pair.kind}, measured {pair.speedup:.2f} times as fast")
    kind = pair.kind if options.spec_type == "auto" else options.spec_type
    return replace(options, model_draft=pair.draft, spec_type=kind)


@contextmanager
def open_for_texts(
    path: Path, options: "TextModelOptions", pooling: 'PoolingChoice | Literal["file"]'
) -> Iterator[Model]:
    """The model for `lepton embed` and its like; notes go to stderr. Raises LeptonError.

    Its packed weights are waited for at the end, so results are printed before.
    """
    wanted = LoadOptions(
        backend=options.backend or "auto",
        gpu_layers=gpu_layers(options.gpu_layers),
        threads=options.threads if options.threads > 0 else None,
        ctx=options.ctx_size or None,
        ubatch=options.ubatch_size,
        weights=round(options.weight_cache * 1e9),
        adapters=lora_of(options),
        pooling=pooling,
    )
    on_plan, progress = note if options.verbose else None, CompileNotes(verbose=options.verbose)
    with engine.open_model(path, wanted, on_plan, progress) as model:
        _tell(model, options)
        yield model
        keep_weights(model, verbose=options.verbose)


@contextmanager
def open_measured(
    path: Path, wanted: LoadOptions, options: "RunningOptions", beside: Model | None = None
) -> Iterator[Model]:
    """A model that is measured on a text; notes go to stderr. See `open_for_texts`."""
    on_plan, progress = note if options.verbose else None, CompileNotes(verbose=options.verbose)
    with engine.open_model(path, wanted, on_plan, progress, beside) as model:
        _tell(model, options)
        yield model
        keep_weights(model, verbose=options.verbose)


def _tell(model: Model, options: "ModelOptions | TextModelOptions | RunningOptions") -> None:
    """Prints notes about an open model."""
    asked = options.verbose or options.backend == "auto"
    for text in dict.fromkeys((*model.notes, *([model.no_gpu] if asked and model.no_gpu else []))):
        note(text)
    if options.verbose:
        if model.gpu:
            note(str(model.gpu))
        for adapter in model.adapters.states:
            note(str(adapter))
        note(
            f"{model.name}: {model.architecture}, backend {model.backend}, "
            f"threads {model.threads} ({model.threads_reason}), "
            f"context {model.context_size} of {model.trained_context}"
        )
        from lepton_cli.engine.measure.diagnosis import kernel_findings  # for start-up time

        for finding in kernel_findings():
            note(f"{finding.subject} {finding}")


def keep_weights(model: Model, *, verbose: bool = False) -> None:
    """Waits for packed weights to be on disk, at the end of a command; says so if it is long.

    Ctrl-C gives it up, which is no failure of the command.
    """
    kept = [each.weights for each in (model, model.draft) if each and each.weights]
    try:
        if not all(weights.finish(SHORT) for weights in kept):
            note(KEEPING)
            for weights in kept:
                weights.finish()
    except KeyboardInterrupt:
        return
    for failure in filter(None, [weights.failure for weights in kept]) if verbose else ():
        note(failure)


def add_draft(model: Model, name: str, options: LoadOptions) -> None:
    """Opens a draft model beside it; closes the model on failure. Raises LeptonError."""
    try:
        model.guess_with(engine.open_model(resolve(name), options, beside=model))
    except BaseException:
        model.close()
        raise


def load_options(options: ModelOptions, talk: ConversationOptions) -> LoadOptions:
    return LoadOptions(
        backend=options.backend or "auto",
        gpu_layers=gpu_layers(options.gpu_layers),
        threads=options.threads if options.threads > 0 else None,
        ctx=options.ctx_size or None,
        kv=(options.cache_type_k, options.cache_type_v),
        ubatch=options.ubatch_size,
        prefixes=round(options.prefix_cache * 1e9),
        weights=round(options.weight_cache * 1e9),
        checkpoints=options.ctx_checkpoints,
        template=one_text("--chat-template", talk.chat_template, talk.chat_template_file),
        spec_types=spec_types(options.spec_type, has_draft=options.model_draft is not None),
        adapters=adapters_of(options),
    )


def without_adapters(options: ModelOptions) -> ModelOptions:
    """The options for another model; says so where that matters."""
    if adapters_of(options):
        note("the adapters stay with the former model: they were not made for this one")
    return replace(
        options,
        lora=None,
        lora_scaled=None,
        control_vector=None,
        control_vector_scaled=None,
        control_vector_layer_range=None,
    )


def spec_types(text: str, *, has_draft: bool) -> tuple[SpecType, ...] | Literal["auto"]:
    """What `--spec-type` names; the other n-gram tables of llama.cpp stand for ours.

    Raises UsageError.
    """
    if text == "none":
        return ()
    if text == "auto":
        return ("ngram-simple", "draft-simple") if has_draft else "auto"
    known: dict[str, SpecType] = {kind: kind for kind in get_args(SpecType)}
    known |= dict.fromkeys(OTHER_NGRAMS, "ngram-simple")
    names = text.split(",")
    for name in names:
        if name not in known:
            message = f"--spec-type is {text!r}: {name!r} is not known"
            raise UsageError(message, f"use auto, none, or some of {', '.join(get_args(SpecType))}")
        if name in OTHER_NGRAMS:
            note(f"--spec-type {name}: ngram-simple is used, which changes only speed")
    kinds = tuple(dict.fromkeys(known[name] for name in names))
    if has_draft != ("draft-simple" in kinds):
        message = f"--spec-type is {text!r} {'with' if has_draft else 'without'} a draft model"
        cure = "add draft-simple to it" if has_draft else "give one with -md"
        raise UsageError(message, cure)
    return kinds


def draft_options(wanted: LoadOptions) -> LoadOptions:
    """The options of a draft model: a number of GPU layers is not passed on, except 0."""
    layers: GpuLayers = 0 if wanted.gpu_layers == 0 else "auto"
    return replace(wanted, prefixes=0, gpu_layers=layers, spec_types=(), adapters=())


def gpu_layers(text: str) -> GpuLayers:
    """Raises UsageError."""
    words: dict[str, GpuLayers] = {"auto": "auto", "all": "all"}
    if text in words:
        return words[text]
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"--gpu-layers is {text!r}", "a whole number from 0, auto or all")
    return int(text)
