"""The packed weights that are kept on disk, for all models."""

from lepton_cli.engine.library.paths import weight_folder
from ops.backend import KeptFile, clear_kept, kept_files


def kept_weights() -> list[KeptFile]:
    """The most recently used first. Raises ForeignFileError."""
    return kept_files(weight_folder())


def clear_weights() -> int:
    """Removes them; returns the number of bytes freed. Raises ForeignFileError."""
    return clear_kept(weight_folder())
