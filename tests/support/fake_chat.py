"""Runs the chat with a scripted model: `fake_chat.py '{"answers": [["Hi"]]}'`.

The terminal tests start it in a terminal of their own. The keys are those of FakeModel and
ChatOptions; an answer is a list of pieces, one piece in a list is a thought.
"""

import json
import sys
from pathlib import Path
from typing import Any

from fake_model import FakeModel

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Reasoning
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.ui.repl.repl import ChatOptions, chat
from lepton_cli.ui.terminal.notes import complain
from quant.errors import LeptonError, ModelFileError

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
    settings = json.loads(sys.argv[1])
    sampling, limit = settings.pop("sampling", {}), settings.pop("max_tokens", None)
    model = model_from(settings)
    options = {key: value for key, value in settings.items() if key not in MODEL_KEYS}
    if "resume" in options:
        options["resume"] = Path(options["resume"])
    try:
        return chat(
            model, ChatOptions(Generation(Sampling(**sampling), limit), **options), load_model
        )
    except LeptonError as error:
        complain(error)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
