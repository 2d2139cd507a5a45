"""Whether a file that is to be written will be a model: its program is recorded before."""

import os
import tempfile
from pathlib import Path

from lepton_cli.engine.files.writing import Output
from lepton_cli.engine.loading.plan import build
from quant.errors import ModelFileError
from quant.gguf import GGUF

SMALL = 1 << 20  # bytes of a tensor whose values may decide how a model is computed
CONTEXT = 64  # positions


def check_model(output: Output, source: Path) -> None:
    """Raises ModelFileError, naming the source, for a tensor that is missing or has another shape.

    Large tensors are holes in a file of the size that it will have.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trial.gguf")
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
            build(GGUF.open(path), CONTEXT)
        except ModelFileError as error:
            message = f"{source}: {error.message.removeprefix(f'{path}: ')}"
            raise ModelFileError(message, error.hint) from error
