"""Whether a file that is to be written will be a model: its program is recorded before."""

import os
import tempfile
from pathlib import Path

from lepton_cli.engine.files.writing import Output
from lepton_cli.engine.loading.plan import build
from ops.program import Program
from quant.errors import LeptonError, ModelFileError
from quant.gguf import GGUF

SMALL = 1 << 20  # bytes of a tensor whose values may decide how a model is computed
CONTEXT = 64  # positions; programs that are compared depend on it alike


def trial_program(output: Output) -> Program:
    """The program of the file to be; large tensors are holes in it.

    Raises ModelFileError, which does not name the file, if it would be no model.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, output.path.name)
        with path.open("wb") as file:
            file.write(output.header.encode())
            for info in output.header.tensors:
                if info.bytes <= SMALL:
                    file.writelines(output.data(info))
                else:
                    file.seek(info.bytes, os.SEEK_CUR)
                file.seek(len(output.header.padding(info)), os.SEEK_CUR)
            file.truncate(output.header.file_bytes)
        try:
            return build(GGUF.open(path), CONTEXT)
        except LeptonError as error:
            message = error.message.removeprefix(f"{path}: ")
            raise ModelFileError(message, error.hint) from error
