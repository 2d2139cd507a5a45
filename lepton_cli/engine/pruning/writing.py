"""Checks that what an edit leaves is a model, and says how it is written."""

from pathlib import Path

from lepton_cli.engine.files.trial import trial_program
from lepton_cli.engine.files.writing import Output
from lepton_cli.engine.pruning.edits import Edit, Edited
from ops.program import Program, kinds_of_layers
from quant.errors import ModelFileError, UsageError


def check_left(result: Edited) -> None:
    """Raises UsageError if what an edit leaves is no model, or computes something else."""
    try:
        left = trial_program(output_of(result, result.file.path))
    except ModelFileError as error:
        message = f"what is left would be no model: {error.message}"
        raise UsageError(message, "leave out something else") from error
    _check_kinds(result.program, left, result.edit)


def output_of(result: Edited, path: Path) -> Output:
    """The file to be written. Raises UsageError where a row would lose parts of blocks."""
    return Output(path, result.header(), result.data)


def _check_kinds(before: Program, after: Program, edit: Edit) -> None:
    """A layer's place may decide what it computes: raises UsageError if it has another one now."""
    old, new = kinds_of_layers(before), kinds_of_layers(after)
    kept = [layer for layer in sorted(old) if layer not in edit.layers]
    for number, layer in enumerate(kept):
        if new.get(number) != old[layer]:
            message = f"layer {layer} would become layer {number}, which is of another kind"
            raise UsageError(message, "leave out a whole period of layers, or the last ones")
