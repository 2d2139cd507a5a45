"""The commands about model files as Python functions: the same verbs, without a screen.

A model is given by path or by name, as on the command line. All raise LeptonError: UsageError for
what cannot be asked, ModelFileError for a file that is damaged or not supported, OutOfMemoryError.
Nothing is printed; what comes back are the engine's records, whose fields are documented there.
Files appear whole or not at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.drafting.candidates import (
    LOOKUP,
    Candidate,
    check_takes_drafts,
    found_candidates,
    model_candidate,
    use,
)
from lepton_cli.engine.drafting.measuring import Measured, Trial, answers_of, measure
from lepton_cli.engine.files import differences, shards
from lepton_cli.engine.files.checking import Verified
from lepton_cli.engine.files.checking import verify as verify_file
from lepton_cli.engine.files.differences import Differences
from lepton_cli.engine.files.encoding import open_encoder
from lepton_cli.engine.files.merging import merged_adapters
from lepton_cli.engine.files.writing import Output, check_names, check_outputs, write_outputs
from lepton_cli.engine.hub.events import Event as PullEvent
from lepton_cli.engine.hub.pulling import Pulled, pull_from_hub, pull_from_web
from lepton_cli.engine.hub.pulling import plan as plan_download
from lepton_cli.engine.hub.transport import Hub, Transport
from lepton_cli.engine.hub.wanted import WebFile, wanted
from lepton_cli.engine.imatrix.collecting import Collector, collecting_options, run_of
from lepton_cli.engine.imatrix.files import layout_of, write_matrix
from lepton_cli.engine.imatrix.matrix import ImportanceMatrix
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.known_hashes import known_hashes
from lepton_cli.engine.library.sizes import bytes_of, bytes_of_weights
from lepton_cli.engine.loading.adapters import AdapterFile, BoundAdapters
from lepton_cli.engine.loading.estimates import Estimates, estimate
from lepton_cli.engine.loading.plan import CacheTypes, LoadOptions
from lepton_cli.engine.loss.comparison import Comparison
from lepton_cli.engine.loss.comparison import compare as compare_windows
from lepton_cli.engine.loss.perplexity import Perplexity, measure_perplexity
from lepton_cli.engine.loss.scoring import options_for
from lepton_cli.engine.loss.trials import open_on_cpu
from lepton_cli.engine.loss.windows import USUAL_SIZE, Cutting, TokenWindows, windows_of
from lepton_cli.engine.model import Model, load_tokenizer, open_model
from lepton_cli.engine.pruning.choosing import Wanted
from lepton_cli.engine.pruning.prune import Pruned, Ranking, Request
from lepton_cli.engine.pruning.prune import prune as choose_what_leaves
from lepton_cli.engine.pruning.ranking import read_sums
from lepton_cli.engine.pruning.sparsity import Sparsity
from lepton_cli.engine.pruning.targets import By
from lepton_cli.engine.pruning.writing import output_of
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.engine.shrinking.by_size import Sized, candidates, chosen_by_text
from lepton_cli.engine.shrinking.choosing import Wishes, by_preset, wish
from lepton_cli.engine.shrinking.importance import Importance
from lepton_cli.engine.shrinking.presets import PRESETS, format_of, preset_of
from lepton_cli.engine.shrinking.quantizing import Request as QuantizeRequest
from lepton_cli.engine.shrinking.quantizing import (
    converted,
    encoder_for,
    encoder_of,
    facts_of,
    quantized_outputs,
)
from quant.errors import UsageError
from quant.format import FORMATS
from quant.gguf import GGUF

ModelName = str | Path
USUAL = Generation()


def pull(
    name: str, *, companion: bool = True, tell: Callable[[PullEvent], None] = lambda event: None
) -> Pulled:
    """Downloads a model, or finds that it is on this disk: `path`, `size` and `fetched` in bytes.

    `name`: of models.toml, user/repo[:QUANT] on Hugging Face, or an address. `companion`: with the
    image projector beside it. `tell` is called with the progress.
    """
    what, transport = wanted(name), Transport(Hub.of_environment(), tell)
    if isinstance(what, WebFile):
        return pull_from_web(transport, what, tell)
    return pull_from_hub(transport, plan_download(transport, what, companion=companion), tell)


def verify(model: ModelName) -> Verified:
    """Whether a file is whole: its `faults` are empty if it is; sha256 of each of its `files`."""
    path = resolve(str(model))
    return verify_file(path, known_hashes(path))


def diff(model: ModelName, other: ModelName) -> Differences:
    """What differs between two models: keys, tensors, types and values."""
    return differences.compare(_opened(model), _opened(other))


def plan(
    model: ModelName,
    contexts: Sequence[int] = (),
    kv: Sequence[CacheTypes] = (),
    options: LoadOptions | None = None,
) -> Estimates:
    """The memory in bytes that a model takes with each context (tokens) and cache type.

    Nothing is loaded. Without contexts or types those that `lepton plan` shows.
    """
    base = options or LoadOptions(spec_types="auto", pooling="if named")
    return estimate(_opened(model), base, contexts, kv, [base.gpu_layers])


def split(
    model: ModelName,
    prefix: str | Path,
    *,
    max_size: int | str | None = None,
    max_tensors: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Splits a model into files of at most `max_size` bytes (or 2G) or `max_tensors` tensors."""
    size = None if max_size is None else _bytes(max_size)
    if size is not None and max_tensors is not None:
        raise UsageError("max_size and max_tensors are both given", "give one of them")
    file = _opened(model)
    largest = shards.Largest(size, max_tensors or shards.MOST_TENSORS)
    return _written(shards.split_outputs(file, Path(prefix), largest), file.paths, overwrite)


def merge(model: ModelName, out: str | Path, *, overwrite: bool = False) -> Path:
    """Joins the parts of a split model, named by its first one."""
    file = _opened(model)
    [path] = _written([shards.merged_output(file, Path(out))], file.paths, overwrite)
    return path


def merge_lora(
    model: ModelName,
    out: str | Path,
    adapters: Sequence[AdapterFile],
    *,
    type: str | None = None,  # noqa: A002  (the option's name)
    overwrite: bool = False,
) -> Path:
    """Adds adapters to a model's weights; `type` is that of the tensors that change."""
    if type is not None and type not in FORMATS:
        raise UsageError(f"type is {type!r}", f"it may be {', '.join(FORMATS)}")
    file = _opened(model)
    bound = BoundAdapters(file, tuple(adapters))
    chosen = None if type is None else FORMATS[type]
    with open_encoder(lambda compiling: None) as encoder:
        output = merged_adapters(file, bound, Path(out), chosen, encoder)
        [path] = _written([output], [*file.paths, *bound.paths], overwrite)
    return path


def convert(
    folder: str | Path,
    out: str | Path,
    *,
    type: str | None = None,  # noqa: A002  (the option's name)
    overwrite: bool = False,
) -> Path:
    """Converts a model of transformers; `type`: F32, F16, BF16, Q8_0. None: 16 bits, as it has."""
    from lepton_cli.engine.converting.conversion import check_type, converted  # imports gguf

    output = converted(Path(folder), Path(out), check_type(type))
    [path] = _written([output], [Path(folder)], overwrite)
    return path


def perplexity(
    model: ModelName,
    text: str,
    *,
    ctx: int = USUAL_SIZE,
    stride: int = 0,
    windows: int | None = None,
    options: LoadOptions | None = None,
) -> Perplexity:
    """How well a model predicts a text, by llama-perplexity's definition.

    `ctx`: tokens in a window; `stride`: between overlapping ones; `windows`: only the first so
    many. `perplexity.value` has the error `perplexity.error`; losses are in nats a token.
    """
    cut = _windows(model, text, Cutting(ctx, stride, windows))
    with _to_measure(model, cut, options) as opened:
        *_, last = measure_perplexity(opened, cut)
    return last


def compare(
    reference: ModelName,
    other: ModelName,
    text: str,
    *,
    ctx: int = USUAL_SIZE,
    windows: int | None = None,
    options: LoadOptions | None = None,
) -> Comparison:
    """How far another model is from a reference on a text: `divergence.mean` in nats, and more.

    Both are open at once; their vocabularies must be equal.
    """
    cut = _windows(reference, text, Cutting(ctx, 0, windows))
    with (
        _to_measure(reference, cut, options) as one,
        _to_measure(other, cut, options, one) as two,
    ):
        *_, last = compare_windows(one, two, cut)
    return last


def imatrix(
    model: ModelName,
    text: str,
    out: str | Path | None = None,
    *,
    ctx: int = USUAL_SIZE,
    windows: int | None = None,
    of_output: bool = False,
    dataset: str = "text",
    overwrite: bool = False,
    options: LoadOptions | None = None,
) -> ImportanceMatrix:
    """Which columns of its weights a model uses on a text: sums of squares, and counts of rows.

    `of_output`: also for output.weight; `dataset` names the text in the file `out`, which is a .dat
    by its suffix, otherwise GGUF.
    """
    if out is not None:
        check_names([Path(out)], _opened(model).paths, overwrite=overwrite)
    cut = _windows(model, text, Cutting(ctx, 0, windows))
    wanted_options = collecting_options(options or LoadOptions(), cut.size, of_output=of_output)
    with open_model(model, wanted_options) as opened:
        collector = Collector(opened, cut, run_of(dataset, opened.identity, cut, []), None)
        for _ in collector.collect():
            pass
    if out is not None:
        write_matrix(Path(out), collector.matrix, layout_of(Path(out)))
    return collector.matrix


def draft(
    model: ModelName,
    text: str,
    drafts: Sequence[ModelName] = (),
    *,
    ctx: int = USUAL_SIZE,
    tokens: int = 64,
    rounds: int = 3,
    draft_p_min: float = USUAL.draft_p_min,
    options: LoadOptions | None = None,
) -> list[tuple[Candidate, Measured]]:
    """How much faster a model answers greedily with each source of guesses; nothing is remembered.

    Tried are earlier text, and `drafts`; without any, the smaller models of the same tokens on
    this disk. The first halves of windows of `ctx` tokens are prompts; `speedup` is the median of
    the rounds, in turns with plain decoding. `draft_p_min`: below this probability a draft model
    stops guessing.
    """
    file = _opened(model)
    check_takes_drafts(file)
    prompts = [window.ids[: ctx // 2] for window in _windows(model, text, Cutting(ctx))]
    size = len(prompts[0]) + tokens + USUAL.draft_max
    wanted_options = replace(options or LoadOptions(), ctx=size, spec_types="auto", prefixes=0)
    given = [model_candidate(str(each), resolve(str(each)), file) for each in drafts]
    greedy = replace(
        USUAL,
        sampling=Sampling(temperature=0.0),
        max_tokens=tokens,
        split_reasoning=False,
        draft_p_min=draft_p_min,
    )
    trial, measured = Trial(prompts, greedy, rounds), list[tuple[Candidate, Measured]]()
    with open_model(model, wanted_options) as opened:
        for candidate in (LOOKUP, *(given or found_candidates(file))):
            use(opened, candidate, replace(wanted_options, spec_types=()))
            *_, last = measure(candidate.name, answers_of(opened, Event()), trial)
            measured.append((candidate, last))
    return measured


def prune(
    model: ModelName,
    out: str | Path | None = None,
    *,
    layers: int = 0,
    drop_layers: Sequence[int] = (),
    channels: float = 0.0,
    heads: float = 0.0,
    experts: float = 0.0,
    sparsity: str | None = None,
    target_size: int | str | None = None,
    by: By = "layers",
    rank: Ranking = "influence",
    text: str | None = None,
    ctx: int = USUAL_SIZE,
    imatrix: str | Path | None = None,
    overwrite: bool = False,
) -> Pruned:
    """Leaves parts out of a model; writes `out`, if given. Sizes are in bytes, shares 0 to 1.

    `text` ranks the layers, where `layers` or `target_size` asks for the least important ones;
    `imatrix` the channels, heads and experts.
    """
    wanted_parts = Wanted(frozenset(drop_layers), channels, heads, experts)
    most = None if target_size is None else _bytes(target_size)
    zeros = None if sparsity is None else Sparsity.of(sparsity)
    request = Request(wanted_parts, layers, most, by, rank, zeros)
    file = _opened(model)
    if out is not None:
        check_names([Path(out)], _read(file, imatrix), overwrite=overwrite)
    cut = () if text is None else _windows(model, text, Cutting(ctx))
    sums = None if imatrix is None else read_sums(Path(imatrix), file)
    found = choose_what_leaves(file, request, cut, sums)
    if out is not None:
        _written([output_of(found.result, Path(out))], _read(file, imatrix), overwrite)
    return found


def quantize(
    model: ModelName,
    out: str | Path,
    type: str,  # noqa: A002  (the option's name)
    *,
    imatrix: str | Path | None = None,
    tensor_types: Sequence[tuple[str, str]] = (),
    output_type: str | None = None,
    embedding_type: str | None = None,
    pure: bool = False,
    allow_requantize: bool = False,
    threads: int = 0,
    overwrite: bool = False,
) -> Path:
    """Writes a model with its weights in fewer bits, to the byte as llama-quantize does.

    `type`: Q4_K_M, Q8_0, ...; `tensor_types`: pairs of a regular expression and a format, for the
    tensors whose names match; `threads` 0: one for each core.
    """
    preset = preset_of(type)
    file = _opened(model)
    importance = None if imatrix is None else Importance.read(str(imatrix))
    others = tuple(wish(pattern, kind, "tensor_types") for pattern, kind in tensor_types)
    wishes = Wishes(
        format_of(output_type, "output_type") if output_type else None,
        format_of(embedding_type, "embedding_type") if embedding_type else None,
        others,
        pure,
    )
    request = QuantizeRequest(preset, importance, allow_requantize=allow_requantize)
    tensors = converted(file, request, by_preset(preset, facts_of(file, importance), wishes))
    with encoder_for(tensors, threads, lambda compiling: None) as encoder:
        outputs = quantized_outputs(file, Path(out), request, tensors, encoder)
        [path] = _written(outputs, _read(file, imatrix), overwrite)
    return path


def quantize_to_size(
    model: ModelName,
    out: str | Path,
    target_size: int | str,
    text: str,
    *,
    ctx: int = USUAL_SIZE,
    imatrix: str | Path | None = None,
    allow_requantize: bool = False,
    threads: int = 0,
    overwrite: bool = False,
) -> Sized:
    """Writes a model of at most `target_size` bytes (or 3.5G, or 4.5bpw), losing least on a text.

    `plan.loss` is the expected divergence in nats a token, `measured(out)` the real one.
    """
    file = _opened(model)
    check_names([Path(out)], _read(file, imatrix), overwrite=overwrite)
    most = bytes_of_weights(str(target_size), sum(each.size for each in file.tensors.values()))
    importance = None if imatrix is None else Importance.read(str(imatrix))
    request = QuantizeRequest(PRESETS["F16"], importance, allow_requantize=allow_requantize)
    cut, start = _windows(model, text, Cutting(ctx)), open_on_cpu(threads)
    with encoder_of(candidates(importance), threads, lambda compiling: None) as encoder:
        found = chosen_by_text(file, request, most, cut, encoder, start)
        outputs = quantized_outputs(file, Path(out), found.request, found.tensors, encoder)
        _written(outputs, _read(file, imatrix), overwrite)
    return found


def _read(file: GGUF, imatrix: str | Path | None) -> list[Path]:
    """The files that are read, and so are not written."""
    return [*file.paths, *([] if imatrix is None else [Path(imatrix)])]


def _opened(model: ModelName) -> GGUF:
    return GGUF.open(resolve(str(model)))


def _bytes(size: int | str) -> int:
    return bytes_of(size) if isinstance(size, str) else size


def _written(outputs: Sequence[Output], sources: Sequence[Path], overwrite: bool) -> list[Path]:
    check_outputs(outputs, sources, overwrite=overwrite)
    write_outputs(outputs)
    return [output.path for output in outputs]


def _windows(model: ModelName, text: str, cutting: Cutting) -> TokenWindows:
    return windows_of(text, load_tokenizer(model), cutting)


def _to_measure(
    model: ModelName, cut: TokenWindows, options: LoadOptions | None, beside: Model | None = None
) -> Model:
    wanted_options = options_for(options or LoadOptions(), cut.size)
    return open_model(model, wanted_options, beside=beside)
