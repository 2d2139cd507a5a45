"""Runs the chat on a model that says what it is told to: `python fake_chat.py '{"answers": [["Hi"]]}'`.

The terminal tests start it in a terminal of their own. The keys are those of FakeModel and
ChatOptions; an answer is a list of pieces, one piece in a list is a thought.
"""

import json
import sys
from pathlib import Path
from typing import Any

from fake_model import FakeModel

from lepton_cli.engine.events import Reasoning
from lepton_cli.engine.generation import Generation
from lepton_cli.engine.sampling import Sampling
from lepton_cli.ui.repl import ChatOptions, chat
from quant.errors import ModelFileError

MODEL_KEYS = ("answers", "pause", "context_size", "name")


def model_from(settings: dict[str, Any]) -> FakeModel:
    given = {key: settings[key] for key in MODEL_KEYS if key in settings}
    given["answers"] = [
        [piece if isinstance(piece, str) else Reasoning(*piece) for piece in answer]
        for answer in given.get("answers", [["Hello", "!"]])
    ]
    return FakeModel(**given)


def load_model(name: str) -> FakeModel:
    if name != "other":
        raise ModelFileError(f"{name}: no such model", "say /model other")
    return FakeModel(answers=[["I am the other."]], name="Other 1M", path=Path("other.gguf"))


def main() -> int:
    settings = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    options = {key: value for key, value in settings.items() if key not in (*MODEL_KEYS, "sampling")}
    generation = Generation(Sampling(**settings.get("sampling", {})), options.pop("max_tokens", None))
    return chat(model_from(settings), ChatOptions(generation, **options), load_model)


if __name__ == "__main__":
    sys.exit(main())
