"""Lepton: chat with and generate from GGUF models. The small Python API.

import lepton_cli
with lepton_cli.load("model.gguf") as model:
    for piece in model.generate("Once upon a time", max_tokens=50):
        print(piece, end="")
"""

TYPE_CHECKING = False  # importing typing takes milliseconds in which Ctrl-C prints a traceback
if TYPE_CHECKING:
    from lepton_cli.engine.model import Model, load, load_tokenizer

__all__ = ["Model", "load", "load_tokenizer"]


def __getattr__(name: str) -> object:
    """Imports the engine when it is first used: `lepton --help` must not wait for NumPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lepton_cli.engine import model

    return getattr(model, name)
