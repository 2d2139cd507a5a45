"""The built-in model: small, labelled, tokenizing without loss, and able to help."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import lepton_cli
from lepton_cli.engine.model import Model
from lepton_cli.engine.text.messages import Message, Role
from lepton_cli.ui.repl.slash_commands import find_command
from quant.gguf import GGUF

BUILTIN = Path(lepton_cli.__file__).parent / "data" / "builtin.gguf"
SHELL_COMMANDS = {
    *("run", "chat", "batch", "tokenize", "template", "inspect", "models", "bench", "cache"),
    *("warmup", "doctor"),
}
TEXTS = (
    "hello",
    "How do I open a real model?",
    "  two  spaces, and\nnew lines\n\n",
    "`lepton run model.gguf -n 100 'Hi'`",
    "Grüße, 世界 🙂",
    "<|user|> is only text here <|end|>",
)
HELLO = ("hello!", "hi there!")
NO_NAMES = ("too small to remember names",)
OUTSIDE = ("lepton chat model.gguf", "too small", "no clock")
ANSWERS = (
    ("Hi", HELLO),
    ("HEY THERE!!", HELLO),
    ("good morning", HELLO),
    ("my name is Karl", NO_NAMES),
    ("what was my name?", NO_NAMES),
    ("How do I open a real model?", ("lepton chat model.gguf",)),
    ("where do I get models from?", ("lepton models",)),
    ("does it use the GPU?", ("'lepton-cli[cuda]'",)),
    ("how do I offload layers to my graphics card?", ("-ngl",)),
    ("can it answer every row of a csv?", ("lepton batch",)),
    ("how do I make it answer with a json schema", ("-jf",)),
    ("how do i go on with yesterday's chat", ("--resume", "/load")),
    ("benchmark my model", ("lepton bench",)),
    ("What commands are there?", ("/help",)),
    ("how do I get JSON?", ("--json",)),
    ("json?", ("--json",)),
    ("temperature", ("--temp",)),
    ("how do i give it a bigger context window", ("`-c`",)),
    ("how can i set the seed", ("`-s`",)),
    ("number of threads?", ("`-t`",)),
    ("how do I define a system prompt", ("/system",)),
    ("how do I pipe a file into lepton?", ("cat notes.txt | lepton run model.gguf 'summarize'",)),
    ("is it possible to attach a document to my message?", ("/read",)),
    ("what does /retry do?", ("/retry",)),
    ("how do I save this chat?", ("/save",)),
    ("and how do i load it again?", ("/load",)),
    ("i accidentally cleared the chat, can i get it back?", ("/back",)),
    ("how do i quit", ("/exit",)),
    ("how do I see what is in a gguf file?", ("lepton inspect",)),
    ("explain quantization to me", ("fewer bits",)),
    ("can you explain quantum computing?", OUTSIDE),
    ("What is the capital of France?", OUTSIDE),
    ("who are you?", ("lepton",)),
    ("tell me a story about a penguin", ("penguin named pablo",)),
)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with lepton_cli.load(BUILTIN) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def answered(model: Model) -> Callable[[str], str]:
    """Each question is answered once."""
    return cache(lambda question: answer(model, question))


def answer(model: Model, *chat: str) -> str:
    """The greedy answer to the last message of a chat."""
    roles: tuple[Role, Role] = ("user", "assistant")
    turns = [Message(roles[place % 2], text) for place, text in enumerate(chat)]
    ids = model.tokenizer.encode_segments(model.template.render(turns))
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
def test_greedy_answer_holds(
    answered: Callable[[str], str], question: str, wanted: tuple[str, ...]
) -> None:
    said = answered(question).lower()
    assert any(part in said for part in wanted), said


def test_answers_end_by_themselves(model: Model) -> None:
    assert len(model.tokenizer.encode(answer(model, "hello"))) < 100


def test_commands_in_answers_exist(answered: Callable[[str], str]) -> None:
    for question, _ in ANSWERS:
        for code in re.findall(r"`+([^`]+)`+", answered(question)):
            for word in re.findall(r"^/(\w+)", code):
                assert find_command(word)
            assert set(re.findall(r"\blepton (\w+)", code)) <= SHELL_COMMANDS, code


def test_a_long_chat_stays_on_its_subject(model: Model) -> None:
    chat: list[str] = []
    for question, wanted in ANSWERS[:16]:
        chat.append(question)
        chat.append(answer(model, *chat))
        assert any(part in chat[-1].lower() for part in wanted), chat[-2:]
