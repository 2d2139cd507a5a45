"""`lepton merge-lora`: a model with its adapters in one file."""

from pathlib import Path

from lepton_cli.engine.files.encoding import open_encoder
from lepton_cli.engine.files.merging import merged_adapters
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.loading.adapters import BoundAdapters
from lepton_cli.ui.arguments.adapters import lora_of
from lepton_cli.ui.arguments.options.adapters import LoraOptions
from lepton_cli.ui.arguments.options.making import WritingOptions
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.reports.written import write_and_tell
from quant.errors import UsageError
from quant.format import FORMATS
from quant.gguf import GGUF


def merge_adapters(
    model: str, out: Path, options: LoraOptions, kind: str | None, how: WritingOptions
) -> None:
    """Raises LeptonError."""
    wanted = lora_of(options)
    if not wanted:
        raise UsageError("no adapter given", "add --lora FILE, or --lora FILE:SCALE")
    if kind is not None and kind.upper() not in FORMATS:
        raise UsageError(f"--type is {kind!r}", "give a type like F16, BF16, F32 or Q8_0")
    file = GGUF.open(resolve(model))
    bound = BoundAdapters(file, wanted)
    chosen = FORMATS[kind.upper()] if kind else None
    with open_encoder(CompileNotes(verbose=False)) as encoder:
        output = merged_adapters(file, bound, out, chosen, encoder)
        if not how.dry_run:
            changed = (info for info in output.header.tensors if info.name in bound.adapted)
            encoder.prepare([info.format for info in changed])
        write_and_tell([output], [*file.paths, *bound.paths], how)
