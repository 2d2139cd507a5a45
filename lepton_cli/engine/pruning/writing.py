"""Checks that what an edit leaves is a model, and says how it is written."""

import os
import tempfile
from pathlib import Path

from lepton_cli.engine.files.writing import Output
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.pruning.edits import Edit, Edited
from lepton_cli.engine.pruning.sparsity import SparseTensors
from ops.program import Program, kinds_of_layers
from quant.errors import LeptonError, ModelFileError, UsageError
from quant.gguf import GGUF

SMALL = 1 << 20  # bytes of a tensor whose values may decide how a model is computed
CONTEXT = 64  # positions; the programs that are compared depend on it alike


def edited(file: GGUF, edit: Edit, sparse: SparseTensors | None = None) -> Edited:
    """The file as the edit leaves it, once it is known to be a model. Raises LeptonError."""
    program = loading.build(file, CONTEXT)
    result = Edited.of(file, program, edit, sparse)
    try:
        left = _built(result)
    except ModelFileError as error:
        message = f"what is left would be no model: {error.message}"
        raise UsageError(message, "leave out something else") from error
    _check_kinds(program, left, edit)
    return result


def output_of(result: Edited, path: Path) -> Output:
    """The file to be written. Raises UsageError where a row would lose parts of blocks."""
    return Output(path, result.header(), result.data)


def _built(result: Edited) -> Program:
    """The program of the file to be, with large tensors as holes."""
    header = result.header()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, result.file.path.name)
        with path.open("wb") as file:
            file.write(header.encode())
            for info in header.tensors:
                if info.bytes <= SMALL:
                    file.writelines(result.data(info))
                else:
                    file.seek(info.bytes, os.SEEK_CUR)
                file.seek(len(header.padding(info)), os.SEEK_CUR)
            file.truncate(header.file_bytes)
        try:
            return loading.build(GGUF.open(path), CONTEXT)
        except LeptonError as error:
            message = error.message.removeprefix(f"{path}: ")
            raise ModelFileError(message, error.hint) from error


def _check_kinds(before: Program, after: Program, edit: Edit) -> None:
    """A layer's place may decide what it computes: raises UsageError if it has another one now."""
    old, new = kinds_of_layers(before), kinds_of_layers(after)
    kept = [layer for layer in sorted(old) if layer not in edit.layers]
    for number, layer in enumerate(kept):
        if new.get(number) != old[layer]:
            message = f"layer {layer} would become layer {number}, which is of another kind"
            raise UsageError(message, "leave out a whole period of layers, or the last ones")
