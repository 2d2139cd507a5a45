"""`lepton quantize --target-size`: the types that lose least on a text, in a file of that size."""

import os
import shlex
import sys

from lepton_cli.engine.files.writing import check_names
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import bytes_of_weights
from lepton_cli.engine.loss.trials import open_on_cpu
from lepton_cli.engine.shrinking.by_size import SizePlan, candidates, chosen_by_text
from lepton_cli.engine.shrinking.presets import PRESETS
from lepton_cli.engine.shrinking.quantizing import encoder_of, quantized_outputs
from lepton_cli.engine.shrinking.sensitivity import Progress
from lepton_cli.ui.commands.making.quantize import (
    QuantizeRequest,
    records,
    request_of,
    sources_of,
    table,
)
from lepton_cli.ui.commands.measuring.reading import command_of, windowed
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.reports.written import tell, write
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit
from lepton_cli.ui.terminal.status_line import StatusLine
from quant.errors import UsageError
from quant.gguf import GGUF


def quantize_to_size(asked: QuantizeRequest, target: str) -> None:
    """Chooses the types by what they lose on a text. Raises LeptonError."""
    _refuse_types(asked)
    path = resolve(asked.model)
    file = GGUF.open(path)
    most = bytes_of_weights(target, sum(tensor.size for tensor in file.tensors.values()))
    request, sources = request_of(file, PRESETS["F16"], asked), sources_of(asked, file)
    check_names([asked.out], sources, overwrite=asked.how.overwrite)
    command = f"{command_of('quantize', asked.model, str(asked.out))} --target-size {target}"
    windows = windowed(path, command, None, asked.text).windows
    notes, threads = CompileNotes(verbose=asked.file.verbose), asked.file.threads
    start = open_on_cpu(threads, notes)
    with encoder_of(candidates(request.importance), threads, notes) as encoder:
        with StatusLine() as line:
            shown = note if asked.file.verbose else line
            shown(f"measuring {path.name} on the text")
            found = chosen_by_text(
                file, request, most, windows, encoder, start, lambda each: shown(_said(each))
            )
        outputs = quantized_outputs(file, asked.out, found.request, found.tensors, encoder)
        write(outputs, sources, asked.how)
    facts = _told(found.plan, found.trials.scored)
    if asked.how.dry_run:
        facts |= records(found.tensors)
        if not asked.how.json:
            emit(sys.stdout, table(found.tensors))
    else:
        mean = found.measured(outputs[0].path)
        note(f"measured: {mean.value:.4f} +/- {mean.error:.4f}")
        facts |= {"divergence": mean.value, "divergence_error": mean.error}
    tell(outputs, sources, asked.how, facts)


def _refuse_types(asked: QuantizeRequest) -> None:
    """Raises UsageError for options that choose types, too."""
    if asked.type is not None and os.path.isfile(asked.type):
        message = f"{asked.type} is given in place of a type"
        raise UsageError(message, f"the text is given by -f: -f {shlex.quote(asked.type)}")
    own = asked.tensors
    given = {
        f"the type {asked.type}": asked.type,
        "--tensor-type": own.tensor_type,
        "--output-tensor-type": own.output_tensor_type,
        "--token-embedding-type": own.token_embedding_type,
        "--pure": own.pure,
        "--leave-output-tensor": own.leave_output_tensor,
        "--prune-layers": asked.file.prune_layers,
    }
    for name, value in given.items():
        if value:
            message = f"{name} and --target-size are both given"
            hint = "prune first" if name == "--prune-layers" else "leave one of them out"
            raise UsageError(message, f"{hint}: --target-size chooses every type itself")
    if asked.text.file is None:
        message = "--target-size measures the loss on a text, and none is given"
        raise UsageError(message, "give one like those the model is for: -f text.txt")


def _said(progress: Progress) -> str:
    of, loss = f"{progress.done} of {progress.total}", f"divergence {progress.divergence:.5f}"
    return f"{of}: {progress.group}: {loss}"


def _told(plan: SizePlan, scored: int) -> dict[str, Plain]:
    """Says what was chosen; the same for the JSON."""
    types = plan.types
    note(", ".join(f"{count} x {name}" for name, count in types.items()))
    note(f"expected divergence: {plan.loss:.4f} nats a token, by {scored} tokens of the text")
    return {"types": {**types}, "expected_divergence": plan.loss, "scored_tokens": scored}
