"""What the measuring commands read: a text in windows, and the options to open models with."""

import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import join

from lepton_cli.engine.loading.plan import LoadOptions, trained_context
from lepton_cli.engine.loss.scoring import options_for
from lepton_cli.engine.loss.windows import Cutting, TokenWindows, windows_of
from lepton_cli.engine.text.tokenizer import build_tokenizer
from lepton_cli.ui.arguments.options.measuring import RunningOptions, WindowOptions
from lepton_cli.ui.arguments.prompt import text_of_file
from lepton_cli.ui.open_model import gpu_layers
from quant.errors import UsageError
from quant.gguf import GGUF

STDIN = "stdin"


@dataclass(frozen=True, slots=True)
class WindowedText:
    """A text cut for a model, and how; `name` is its file's, or stdin."""

    name: str
    windows: TokenWindows
    cutting: Cutting


def windowed(
    path: Path, command: str, word: str | None, options: WindowOptions, stride: int = 0
) -> WindowedText:
    """The text that a word, -f or stdin names, cut for this model. Raises LeptonError.

    `command`: as it was typed so far, for hints.
    """
    if word is not None and options.file is not None:
        raise UsageError(f"the files {word} and {options.file} are both given", "give one of them")
    name = options.file if word is None else word
    file = GGUF.open(path)
    context = options.ctx_size or trained_context(file)
    cutting = Cutting(context, stride, None if options.chunks < 0 else options.chunks)
    text = text_of_file(name, sys.stdin, example=f"{command} -f text.txt")
    windows = windows_of(text, build_tokenizer(file.metadata), cutting)
    return WindowedText(STDIN if name in (None, "-") else str(name), windows, cutting)


def command_of(verb: str, *models: str) -> str:
    """A command line as it is typed."""
    return join(["lepton", verb, *models])


def measuring_options(options: RunningOptions, size: int) -> LoadOptions:
    """To read windows of this many tokens. Raises UsageError."""
    chosen = LoadOptions(
        backend=options.backend or "auto",
        gpu_layers=gpu_layers(options.gpu_layers),
        threads=options.threads if options.threads > 0 else None,
        kv=(options.cache_type_k, options.cache_type_v),
        ubatch=options.ubatch_size,
        weights=round(options.weight_cache * 1e9),
    )
    return options_for(chosen, size)
