"""Lepton: chat with and generate from GGUF models. The small Python API.

import lepton_cli
with lepton_cli.load("model.gguf") as model:
    for piece in model.generate("Once upon a time", max_tokens=50):
        print(piece, end="")

The commands about model files have the same names here: see `lepton_cli.tools`.
"""

TYPE_CHECKING = False  # importing typing takes milliseconds in which Ctrl-C prints a traceback
if TYPE_CHECKING:
    from lepton_cli.engine.model import Model, load, load_tokenizer
    from lepton_cli.tools import (
        compare,
        convert,
        diff,
        draft,
        imatrix,
        merge,
        merge_lora,
        perplexity,
        plan,
        prune,
        pull,
        quantize,
        quantize_to_size,
        split,
        verify,
    )

__all__ = [
    "Model",
    "compare",
    "convert",
    "diff",
    "draft",
    "imatrix",
    "load",
    "load_tokenizer",
    "merge",
    "merge_lora",
    "perplexity",
    "plan",
    "prune",
    "pull",
    "quantize",
    "quantize_to_size",
    "split",
    "verify",
]


def __getattr__(name: str) -> object:
    """Imports the engine when it is first used: `lepton --help` must not wait for NumPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("Model", "load", "load_tokenizer"):
        from lepton_cli.engine import model

        return getattr(model, name)
    from lepton_cli import tools

    return getattr(tools, name)
