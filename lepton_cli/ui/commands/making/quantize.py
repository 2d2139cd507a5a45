"""`lepton quantize`: a model with its tensors in other formats."""

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.pruning.prune import numbers_of
from lepton_cli.engine.shrinking.choosing import Wishes, by_preset, wish_of
from lepton_cli.engine.shrinking.importance import Importance
from lepton_cli.engine.shrinking.presets import PRESETS, Preset, format_of, is_type, preset_of
from lepton_cli.engine.shrinking.quantizing import (
    Converted,
    Request,
    bits_per_weight,
    converted,
    encoder_for,
    facts_of,
    override_of,
    quantized_outputs,
)
from lepton_cli.models.keys import Keys
from lepton_cli.ui.arguments.options.making import (
    QuantizedModelOptions,
    TensorTypeOptions,
    WritingOptions,
)
from lepton_cli.ui.arguments.options.measuring import WindowOptions
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.reports.numbers import columns, size
from lepton_cli.ui.reports.written import write_and_tell
from lepton_cli.ui.terminal.output import emit
from quant.errors import UsageError
from quant.gguf import GGUF


@dataclass(frozen=True, slots=True)
class QuantizeRequest:
    """The command line's request."""

    model: str
    out: Path
    type: str | None
    tensors: TensorTypeOptions
    text: WindowOptions
    file: QuantizedModelOptions
    how: WritingOptions


def quantize(asked: QuantizeRequest) -> None:
    """Raises LeptonError."""
    preset, wishes = _preset(asked), _wishes(asked.tensors)
    file = GGUF.open(resolve(asked.model))
    request = request_of(file, preset, asked)
    choose = by_preset(preset, facts_of(file, request.importance), wishes)
    tensors = converted(file, request, choose)
    with ExitStack() as stack:
        encoder, more = None, dict[str, Plain]()
        if asked.how.dry_run:
            more = records(tensors)
        else:
            notes = CompileNotes(verbose=asked.file.verbose)
            encoder = stack.enter_context(encoder_for(tensors, asked.file.threads, notes))
        outputs = quantized_outputs(file, asked.out, request, tensors, encoder)
        if more and not asked.how.json:
            emit(sys.stdout, table(tensors))
        write_and_tell(outputs, sources_of(asked, file), asked.how, more)


def request_of(file: GGUF, preset: Preset, asked: QuantizeRequest) -> Request:
    imatrix, words = asked.tensors.imatrix, asked.file.override_kv or []
    dropped = frozenset[int]()
    if asked.file.prune_layers is not None:
        layers = Keys(file.metadata).integer("block_count")
        dropped = numbers_of(asked.file.prune_layers, layers)
        if len(dropped) == layers:
            raise UsageError(f"the model has {layers} layers", "leave out fewer")
    return Request(
        preset,
        None if imatrix is None else Importance.read(imatrix),
        dropped,
        dict(override_of(word) for word in words),
        asked.tensors.allow_requantize,
        asked.file.keep_split,
    )


def sources_of(asked: QuantizeRequest, file: GGUF) -> list[Path]:
    """The files that are read, and so are not written."""
    imatrix = [Path(asked.tensors.imatrix)] if asked.tensors.imatrix else []
    return [*file.paths, *imatrix]


def table(tensors: Sequence[Converted]) -> str:
    """Each tensor with its old and its new type."""
    rows = [
        (
            each.name,
            " x ".join(map(str, each.source.shape)),
            each.source.format.name,
            "" if each.is_copied else each.format.name,
            size(each.info.bytes),
        )
        for each in tensors
    ]
    table = columns([("tensor", "shape", "type", "new type", "size"), *rows], right=(4,))
    return f"{table}{bits_per_weight(tensors):.2f} bits a weight\n"


def records(tensors: Sequence[Converted]) -> dict[str, Plain]:
    """The same for the JSON."""
    listed: list[Plain] = [
        {
            "name": each.name,
            "shape": list(each.source.shape),
            "type": each.source.format.name,
            "new_type": each.format.name,
            "bytes": each.info.bytes,
        }
        for each in tensors
    ]
    return {"bits_per_weight": bits_per_weight(tensors), "tensors": listed}


def _preset(asked: QuantizeRequest) -> Preset:
    """That of TYPE. Raises UsageError, with the right order if MODEL or OUT is a type."""
    if asked.type is None or not is_type(asked.type):
        _refuse_other_order(asked)
    if asked.type is None:
        hint = f"types: {', '.join(PRESETS)}; or --target-size SIZE -f TEXT"
        raise UsageError("no TYPE given", hint)
    return preset_of(asked.type)


def _refuse_other_order(asked: QuantizeRequest) -> None:
    """Raises UsageError for a type in place of MODEL or OUT."""
    words = [asked.model, str(asked.out)] + ([asked.type] if asked.type else [])
    type_ = next((word for word in words if is_type(word) and not os.path.exists(word)), None)
    if type_ is not None:
        files = [word for word in words if word is not type_]
        model, out = files if len(files) == 2 else (files[0], "OUT")
        cure = shlex.join(["lepton", "quantize", model, out, type_])
        raise UsageError(f"the type comes last, and {type_} is given before", f"type: {cure}")


def _wishes(options: TensorTypeOptions) -> Wishes:
    output, embedding = options.output_tensor_type, options.token_embedding_type
    return Wishes(
        format_of(output, "--output-tensor-type") if output else None,
        format_of(embedding, "--token-embedding-type") if embedding else None,
        tuple(wish_of(word) for word in options.tensor_type or []),
        options.pure,
        options.leave_output_tensor,
    )
