"""`lepton convert`: a folder of safetensors to one GGUF file."""

from pathlib import Path

from lepton_cli.engine.converting.conversion import check_type, converted
from lepton_cli.ui.arguments.options.making import WritingOptions
from lepton_cli.ui.reports.written import write_and_tell


def convert_folder(folder: Path, out: Path, kind: str | None, how: WritingOptions) -> None:
    """Raises LeptonError."""
    write_and_tell([converted(folder, out, check_type(kind))], [folder], how)
