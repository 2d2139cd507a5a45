"""`lepton quantize`: a model with its tensors in other formats."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.pruning.prune import numbers_of
from lepton_cli.engine.shrinking.choosing import Wishes, by_preset, wish_of
from lepton_cli.engine.shrinking.importance import Importance
from lepton_cli.engine.shrinking.presets import format_of, preset_of
from lepton_cli.engine.shrinking.quantizing import (
    Request,
    converted,
    encoder_for,
    facts_of,
    override_of,
    quantized_outputs,
)
from lepton_cli.models.keys import Keys
from lepton_cli.ui.arguments.options.shrinking import QuantizedModelOptions, TensorTypeOptions
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.reports.written import Writing, write_and_tell
from quant.gguf import GGUF


@dataclass(frozen=True, slots=True)
class QuantizeRequest:
    """The command line's request."""

    model: str
    out: Path
    type: str
    tensors: TensorTypeOptions
    file: QuantizedModelOptions
    how: Writing


def quantize(asked: QuantizeRequest) -> None:
    """Raises LeptonError."""
    preset = preset_of(asked.type)
    wishes = _wishes(asked.tensors)
    overrides = dict(override_of(word) for word in asked.file.override_kv or [])
    file = GGUF.open(resolve(asked.model))
    imatrix = asked.tensors.imatrix
    importance = None if imatrix is None else Importance.read(imatrix)
    dropped = frozenset[int]()
    if asked.file.prune_layers is not None:
        layers = Keys(file.metadata).integer("block_count")
        dropped = numbers_of(asked.file.prune_layers, layers)
    request = Request(
        *(preset, importance, dropped, overrides),
        allow_requantize=asked.tensors.allow_requantize,
        keep_split=asked.file.keep_split,
    )
    choose = by_preset(preset, facts_of(file, importance), wishes)
    tensors = converted(file, request, choose)
    sources = [*file.paths, *([Path(imatrix)] if imatrix else [])]
    with ExitStack() as stack:
        encoder = None
        if not asked.how.dry_run:
            notes = CompileNotes(verbose=asked.file.verbose)
            encoder = stack.enter_context(encoder_for(tensors, asked.file.threads, notes))
        outputs = quantized_outputs(file, asked.out, request, tensors, encoder)
        write_and_tell(outputs, sources, asked.how)


def _wishes(options: TensorTypeOptions) -> Wishes:
    output, embedding = options.output_tensor_type, options.token_embedding_type
    return Wishes(
        format_of(output, "--output-tensor-type") if output else None,
        format_of(embedding, "--token-embedding-type") if embedding else None,
        tuple(wish_of(word, format_of) for word in options.tensor_type or []),
        options.pure,
        options.leave_output_tensor,
    )
