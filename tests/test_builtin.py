"""The built-in model: small, labelled, tokenizing without loss, and able to help."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import lepton_cli
from lepton_cli.engine.messages import Message
from lepton_cli.engine.model import Model
from quant.gguf import GGUF

BUILTIN = Path(lepton_cli.__file__).parent / "data" / "builtin.gguf"
TEXTS = (
    "hello",
    "How do I open a real model?",
    "  two  spaces, and\nnew lines\n\n",
    "`lepton run model.gguf -n 100 'Hi'`",
    "Grüße, 世界 🙂",
    "<|user|> is only text here <|end|>",
)
ANSWERS = (
    ("hello", ("hello", "hi there")),
    ("Hi!", ("hello", "hi there")),
    ("good morning", ("hello", "hi there")),
    ("How do I open a real model?", ("lepton chat model.gguf",)),
    ("how can i set the seed", ("`-s`",)),
    ("how do I pipe a file into lepton?", ("cat notes.txt | lepton run model.gguf 'summarize'",)),
    ("what does /retry do?", ("/retry",)),
    ("how do i quit", ("/exit",)),
    ("how do I save this chat?", ("/save",)),
    ("how do I see what is in a gguf file?", ("lepton inspect",)),
    ("who are you?", ("lepton",)),
    ("What is the capital of France?", ("lepton chat model.gguf",)),
    ("tell me a story about a fox", ("fox",)),
)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with lepton_cli.load(BUILTIN) as loaded:
        yield loaded


def answer(model: Model, question: str) -> str:
    """The greedy answer to a first question."""
    prompt = model.template.render([Message("user", question)])
    ids = model.tokenizer.encode_segments(prompt)
    return "".join(model.generate(ids, max_tokens=300, temperature=0.0))


def test_file_is_at_most_six_megabytes() -> None:
    assert 1_000_000 < BUILTIN.stat().st_size <= 6_000_000


def test_metadata_tells_name_license_and_training() -> None:
    metadata = GGUF.open(BUILTIN).metadata
    assert metadata["general.architecture"] == "llama"
    assert metadata["general.name"] == "Lepton built-in"
    assert metadata["general.license"] == "MIT"
    assert "train_builtin.py" in str(metadata["lepton.training.recipe"])
    tokens = metadata["lepton.training.tokens"]
    perplexity = metadata["lepton.training.held_out_perplexity"]
    assert isinstance(tokens, int) and tokens > 1_000_000
    assert isinstance(perplexity, float) and 1.0 < perplexity < 2.0
    assert metadata["tokenizer.chat_template"]


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_round_trips(text: str) -> None:
    tokenizer = lepton_cli.load_tokenizer(BUILTIN)
    assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text


def test_markers_are_single_tokens_only_when_trusted() -> None:
    tokenizer = lepton_cli.load_tokenizer(BUILTIN)
    assert len(tokenizer.encode("<|user|>", add_special=False, parse_special=True)) == 1
    assert len(tokenizer.encode("<|user|>", add_special=False)) > 1


@pytest.mark.parametrize(("question", "wanted"), ANSWERS)
def test_greedy_answer_holds(model: Model, question: str, wanted: tuple[str, ...]) -> None:
    said = answer(model, question).lower()
    assert any(part in said for part in wanted), said


def test_answers_end_by_themselves(model: Model) -> None:
    assert len(model.tokenizer.encode(answer(model, "hello"))) < 100
