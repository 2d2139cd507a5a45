"""What a model's file says of it."""

from pathlib import Path

from lepton_cli.engine.library.identity import model_name
from quant.gguf import GGUF, Metadata


class ModelFile:
    """A file that holds a model."""

    def __init__(self, file: GGUF) -> None:
        self._file = file

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def metadata(self) -> Metadata:
        return self._file.metadata

    @property
    def name(self) -> str:
        """See `model_name`."""
        return model_name(self._file)

    @property
    def architecture(self) -> str:
        return self.metadata.string("general.architecture")

    @property
    def parameter_count(self) -> int:
        return sum(tensor.size for tensor in self._file.tensors.values())

    @property
    def file_bytes(self) -> int:
        return self._file.file_bytes
