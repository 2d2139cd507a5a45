"""`lepton prune`: what is left out of a model, the file without it, and what that costs."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lepton_cli.engine.files.writing import check_names
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.library.sizes import bytes_of
from lepton_cli.engine.loss.divergence import Divergence
from lepton_cli.engine.loss.trials import open_on_cpu
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.pruning.choosing import Wanted
from lepton_cli.engine.pruning.prune import Pruned, Request, lost, numbers_of, prune
from lepton_cli.engine.pruning.ranking import read_sums
from lepton_cli.engine.pruning.sparsity import Sparsity
from lepton_cli.engine.pruning.writing import output_of
from lepton_cli.models.keys import Keys
from lepton_cli.ui.arguments.options.making import PruningOptions, WritingOptions
from lepton_cli.ui.arguments.options.measuring import RunningOptions, WindowOptions
from lepton_cli.ui.commands.measuring.reading import command_of, windowed
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.reports.numbers import columns, size
from lepton_cli.ui.reports.written import write
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from quant.gguf import GGUF

SCHEMA = "lepton.prune.v1"


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """The command line's request: `name` of the model, `out` to write, options."""

    name: str
    out: Path | None
    what: PruningOptions
    text: WindowOptions
    running: RunningOptions
    how: WritingOptions


def prune_model(request: PruneRequest) -> None:
    """Raises LeptonError."""
    path = resolve(request.name)
    file = GGUF.open(path)
    if request.out is not None:
        check_names([request.out], file.paths, overwrite=request.how.overwrite)
    wanted = _request(file, request.what)
    windows = _windows(path, request)
    running = request.running
    start = open_on_cpu(running.threads, CompileNotes(verbose=running.verbose))
    sums, sources = None, [*file.paths]
    if request.what.imatrix is not None:
        given = Path(request.what.imatrix)
        sums, sources = read_sums(given, file), [*sources, given]
    found = prune(file, wanted, windows, sums, start, _tell)
    written = None if request.how.dry_run else request.out
    if request.out is not None:
        write([output_of(found.result, request.out)], sources, request.how)
    loss = lost(found, windows, written, start) if windows else None
    if request.how.json:
        emit_json(sys.stdout, _plain(path, written, found, loss))
    else:
        emit(sys.stdout, "".join(f"{line}\n" for line in _lines(found, loss)))


def _tell(layer: int, divergence: float) -> None:
    note(f"without layer {layer}: divergence {divergence:.4f}")


def _request(file: GGUF, what: PruningOptions) -> Request:
    layers = Keys(file.metadata).layers()
    dropped = frozenset() if what.drop_layers is None else numbers_of(what.drop_layers, layers)
    wanted = Wanted(dropped, what.channels, what.heads, what.experts)
    zeros = None if what.sparsity is None else Sparsity.of(what.sparsity)
    most = None if what.target_size is None else bytes_of(what.target_size)
    return Request(wanted, what.layers, most, what.by, what.rank, zeros)


def _windows(path: Path, request: PruneRequest) -> Sequence[TokenWindow]:
    """Of the text; none without one."""
    if request.text.file is None:
        return ()
    return windowed(path, command_of("prune", request.name), None, request.text).windows


def _lines(found: Pruned, loss: Divergence | None) -> Iterator[str]:
    rows = [("", "before", "after"), ("file", size(found.before), size(found.after))]
    layers = found.result.program.layers
    if found.layers:
        rows.append(("layers", str(layers), str(layers - len(found.layers))))
    rows += [(part.kind, str(part.before), str(part.after)) for part in found.parts]
    if loss is not None:
        before, after = loss.reference_loss.exponential(), loss.loss.exponential()
        rows.append(("perplexity", f"{before.value:.4g}", f"{after.value:.4g}"))
    yield columns(rows, right=(1, 2)).rstrip("\n")
    if found.layers:
        noun = "layer" if len(found.layers) == 1 else "layers"
        yield f"left out: {noun} {', '.join(map(str, found.layers))}"
    if found.influences is not None:
        shown = enumerate(found.influences)
        yield "influence of each layer: " + ", ".join(f"{n} {value:.4f}" for n, value in shown)
    if loss is not None:
        mean, same = loss.mean, loss.same_top
        yield (
            f"divergence {mean.value:.4f} +/- {mean.error:.4f}, the same most likely token for "
            f"{100 * same.value:.1f} % of {loss.scored} tokens"
        )


def _plain(
    path: Path, out: Path | None, found: Pruned, loss: Divergence | None
) -> dict[str, Plain]:
    return {
        "schema": SCHEMA,
        "model": str(path),
        "out": None if out is None else str(out),
        "bytes_before": found.before,
        "bytes_after": found.after,
        "layers_left_out": list(found.layers),
        "parts": [asdict(part) for part in found.parts],
        "influences": None if found.influences is None else list(found.influences),
        "loss": None if loss is None else _loss(loss),
    }


def _loss(found: Divergence) -> dict[str, Plain]:
    return {
        "scored_tokens": found.scored,
        "divergence": found.mean.value,
        "divergence_error": found.mean.error,
        "same_top": found.same_top.value,
        "perplexity_before": plain(found.reference_loss.exponential().value),
        "perplexity_after": plain(found.loss.exponential().value),
    }
