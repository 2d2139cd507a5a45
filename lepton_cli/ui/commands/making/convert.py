"""`lepton convert`: a folder of safetensors to one GGUF file."""

from pathlib import Path

from lepton_cli.engine.converting.conversion import check_type, converted
from lepton_cli.ui.reports.written import Writing, write_and_tell


def convert_folder(folder: Path, out: Path, kind: str | None, how: Writing) -> None:
    """Raises LeptonError."""
    write_and_tell([converted(folder, out, check_type(kind))], [folder], how)
