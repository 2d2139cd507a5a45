"""Going on with a kept chat: from the command line, by slash commands, after a crash."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_model import FakeAdapters, FakeModel
from folders import FOLDERS, ROOT, TESTS
from make_adapter import write_lora
from make_gguf import write_model

from lepton_cli.__main__ import run
from lepton_cli.engine.chat.autosave import Autosave, read_session
from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.library.identity import model_identity
from lepton_cli.engine.loading.adapters import AdapterState
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.ui.repl.dialogue import ChatOptions, Dialogue
from lepton_cli.ui.repl.slash_commands import run_command
from quant.errors import ModelFileError, UsageError
from quant.gguf import GGUF


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "lepton" / "sessions"


def load_model(name: str) -> FakeModel:
    raise ModelFileError(f"no model {name}")


def dialogue(*answers: Sequence[str], by_hand: bool = True, **options: Any) -> Dialogue:
    model = FakeModel(answers=answers or (["Hello", "!"],))
    chosen = ChatOptions(Generation(), plain=True, **options)
    return Dialogue(model, chosen, load_model, by_hand=by_hand)


def kept(folder: Path, question: str, answer: str = "one", model: FakeModel | None = None) -> Path:
    session = Session(model or FakeModel([[answer]]), Generation())
    session.autosave = Autosave(folder)
    list(session.send(question))
    assert session.autosave.path is not None
    return session.autosave.path


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was said on the side since the last time, on one line."""
    return lambda: " ".join(capsys.readouterr().err.split())


# --- by slash commands


def test_a_chat_by_hand_is_kept_with_its_window(folder: Path) -> None:
    talk = dialogue()
    talk.ask("hi")
    assert [path.stem for path in folder.iterdir()] == ["hi"]
    assert talk.session.model.remembered == [(None, 1)]


def test_a_chat_that_is_not_to_be_kept_leaves_nothing(folder: Path) -> None:
    talk = dialogue(history=False)
    talk.ask("hi")
    assert not folder.exists()
    assert talk.session.model.remembered == []


def test_branches_are_listed_and_gone_to(told: Callable[[], str]) -> None:
    talk = dialogue(["one"], ["two"])
    with pytest.raises(UsageError, match="there is no answer"):
        run_command(talk, "/branch")
    talk.ask("a")
    run_command(talk, "/retry")
    told()
    run_command(talk, "/branch")
    assert "1 2 messages a > one * 2 2 messages a > two" in told()
    run_command(talk, "/branch 1")
    assert talk.session.messages[-1].content == "one"
    assert "/back returns" in told()
    for wrong in ("0", "3", "x", "-1", "²"):
        with pytest.raises(UsageError, match="no branch"):
            run_command(talk, f"/branch {wrong}")


def test_sessions_are_listed_and_continued(folder: Path, told: Callable[[], str]) -> None:
    talk = dialogue(["two"])
    run_command(talk, "/sessions")
    assert "no chat is saved yet" in told()
    kept(folder, "an older one")
    talk.ask("this one")
    (folder / "damaged.jsonl").write_text("nonsense")
    told()
    run_command(talk, "/sessions")
    shown = told()
    assert "* this-one" in shown and " an-older-one" in shown and "(damaged)" in shown
    assert str(folder) in shown.replace(" ", "")
    run_command(talk, "/sessions an-old")
    assert talk.session.messages[-1].content == "one"
    talk.ask("more")
    assert len(read_session(folder / "an-older-one.jsonl").conversation.turns) == 4
    assert len(read_session(folder / "this-one.jsonl").conversation.turns) == 2
    with pytest.raises(UsageError, match="no chat is called"):
        run_command(talk, "/sessions nothing")


def test_many_sessions_are_not_all_listed(folder: Path, told: Callable[[], str]) -> None:
    for number in range(25):
        kept(folder, f"chat {number}")
    told()
    run_command(dialogue(), "/sessions")
    shown = told()
    assert shown.count("chat-") == 20 and "and 5 older ones" in shown


def test_a_chat_of_another_model_continues_by_its_words(
    folder: Path, told: Callable[[], str]
) -> None:
    path = kept(folder, "a", model=FakeModel([["one"]], name="Other 7B", identity="other"))
    talk = dialogue(["two"], resume=path)
    talk.resume(path)
    assert "2 messages, held with Other 7B" in told()
    assert talk.session.conversation.turns[-1].token_ids == ()
    talk.ask("b")
    assert "one" in talk.session.model.prompts[0]


def test_a_message_whose_answer_was_lost_is_handed_back(
    folder: Path, told: Callable[[], str]
) -> None:
    path = kept(folder, "a")
    session = Session(FakeModel(), Generation())
    session.autosave = Autosave(folder)
    session.resume(read_session(path))
    answer = session.send("/b")
    next(answer)  # and then a crash
    talk = dialogue(resume=path)
    talk.resume(path)
    assert "was not answered: it is in the input line" in told()
    assert talk.draft.text == "//b"
    assert [message.content for message in talk.session.messages] == ["a", "one"]
    answer.close()


def test_damaged_lines_are_reported(folder: Path, told: Callable[[], str]) -> None:
    path = kept(folder, "a")
    path.write_bytes(path.read_bytes() + b'{"turn": "torn')
    talk = dialogue(resume=path)
    talk.resume(path)
    assert "1 damaged line left out" in told()


def test_a_chat_that_cannot_be_kept_says_so_once(folder: Path, told: Callable[[], str]) -> None:
    folder.parent.mkdir(parents=True)
    folder.touch()
    talk = dialogue(["one"], ["two"])
    for text in ("a", "b"):
        talk.ask(text)
    said = told()
    assert said.count("this chat is not being saved: cannot write") == 1
    assert said.count("set XDG_STATE_HOME") == 1
    folder.unlink()
    talk.ask("c")
    assert len(read_session(next(folder.iterdir())).conversation.turns) == 6


def test_a_window_that_cannot_be_kept_is_reported_once(told: Callable[[], str]) -> None:
    talk = dialogue(["one"], ["two"])
    talk.session.model.unstored = "the prompt cache cannot be stored"  # type: ignore[attr-defined]
    for text in ("a", "b"):
        talk.ask(text)
    assert told().count("the prompt cache cannot be stored") == 1


@pytest.mark.parametrize("suffix", [".json", ".md"])
def test_a_resumed_chat_is_exported(folder: Path, tmp_path: Path, suffix: str) -> None:
    path = kept(folder, "a question", "an answer")
    talk = dialogue(resume=path)
    talk.resume(path)
    run_command(talk, f"/save {tmp_path}/out{suffix}")
    exported = (tmp_path / f"out{suffix}").read_text()
    assert "a question" in exported and "an answer" in exported


# --- from the command line


@pytest.fixture
def chats(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, ChatOptions]]:
    """Every chat that is started: its model's path, its options."""
    started: list[tuple[Path, ChatOptions]] = []

    def open_model(path: Path, options: LoadOptions, *_: object) -> FakeModel:
        states = (AdapterState(each.path, each.scale, "") for each in options.adapters)
        return FakeModel(path=path, adapters=FakeAdapters(tuple(states)))

    def chat(model: FakeModel, options: ChatOptions, load: object) -> int:
        started.append((model.path, options))
        return 0

    monkeypatch.setattr("lepton_cli.engine.model.open_model", open_model)
    monkeypatch.setattr("lepton_cli.ui.repl.repl.chat", chat)
    return started


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "fake.gguf").touch()
    return tmp_path / "fake.gguf"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--resume"], "later"),
        (["--resume", "-n", "5"], "later"),
        (["--resume", "earlier"], "earlier"),
        (["--resume=earlier"], "earlier"),
        (["--resume=ear"], "earlier"),
    ],
)
def test_resume_takes_the_latest_or_the_one_that_is_named(
    chats: list[Any], folder: Path, file: Path, flags: list[str], name: str
) -> None:
    os.utime(kept(folder, "earlier", model=FakeModel(path=file)), (1e9, 1e9))
    kept(folder, "later", model=FakeModel(path=file))
    assert run(["chat", *flags]) == 0
    path, options = chats[0]
    assert (path, options.resume) == (file, folder / f"{name}.jsonl")


@dataclass
class SavedAdapters(FakeAdapters):
    """Adapters as a chat saves them."""

    records: tuple[dict[str, Any], ...] = ()

    def saved(self) -> list[Any]:
        return [*self.records]


def test_the_adapters_of_a_chat_are_opened_again(
    chats: list[Any],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: Callable[[], str],
) -> None:
    opened = list[tuple[str, float]]()
    monkeypatch.setattr(
        "lepton_cli.ui.repl.repl.chat",
        lambda model, *_: opened.extend((a.path.name, a.scale) for a in model.adapters.states) or 0,
    )
    file = write_model(tmp_path / "fake.gguf")
    style, other = (write_lora(tmp_path / f"{name}.gguf", file) for name in ("style", "other"))
    digest = model_identity(GGUF.open(style))
    record = {"path": str(style), "scale": 0.5, "layers": None, "digest": digest}
    kept(folder, "a", model=FakeModel(path=file, adapters=SavedAdapters(records=(record,))))
    assert run(["chat", "--resume"]) == 0
    assert opened.pop() == ("style.gguf", 0.5)
    assert "opened again, as in this chat" in told()
    assert run(["chat", str(file), "--resume"]) == 0  # the same model, by its name
    assert opened.pop() == ("style.gguf", 0.5)
    assert run(["chat", "--resume", "--lora", f"{other}:2"]) == 0
    assert opened.pop() == ("other.gguf", 2.0)
    assert run(["chat", str(write_model(tmp_path / "m.gguf")), "--resume"]) == 0
    assert opened == []
    write_lora(style, file, seed=9)
    told()
    assert run(["chat", "--resume"]) == 0
    assert opened == []
    said = told()
    assert f"goes on without its adapters: {style} is not the adapter that it was" in said
    assert "--lora FILE" in said


def test_a_chat_that_was_held_with_other_adapters_says_so(
    folder: Path, told: Callable[[], str]
) -> None:
    record = {"path": "/style.gguf", "scale": 0.5}
    path = kept(folder, "a", model=FakeModel([["one"]], adapters=SavedAdapters(records=(record,))))
    dialogue(resume=path).resume(path)
    assert "held with other adapters" in told()
    path = kept(folder, "b")
    dialogue(resume=path).resume(path)
    assert "adapters" not in told()


def test_a_model_that_is_named_beats_the_chats_own(
    chats: list[Any], folder: Path, tmp_path: Path
) -> None:
    kept(folder, "a", model=FakeModel(path=tmp_path / "gone.gguf"))
    (tmp_path / "other.gguf").touch()
    for words in (
        [str(tmp_path / "other.gguf"), "--resume"],
        ["--resume", "a", "-m", "other.gguf"],
    ):
        os.chdir(tmp_path)
        assert run(["chat", *words]) == 0
    assert {path.name for path, _ in chats} == {"other.gguf"}


def test_a_chats_own_model_beats_the_settings(
    chats: list[Any], folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_MODEL", "nothing.gguf")
    kept(folder, "a", model=FakeModel(path=file))
    assert run(["chat", "--resume"]) == 0
    assert chats[0][0] == file


def test_a_chat_with_the_built_in_model_continues_with_it(
    chats: list[Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(folder, "a", model=FakeModel(path=Path("/where/it/was/builtin.gguf")))
    assert run(["chat", "--resume"]) == 0
    assert "built-in model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--resume"], "no chat is saved yet"),
        (["--resume", "x", "--load", "y.json"], "--load and --resume are both given"),
    ],
)
def test_nothing_to_resume_is_a_clear_error(
    chats: list[Any], words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["chat", *words]) == 2
    assert error in capsys.readouterr().err


def test_a_model_that_has_gone_and_two_chats_at_once_are_errors(
    chats: list[Any], folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kept(folder, "a", model=FakeModel(path=Path("/gone.gguf")))
    assert run(["chat", "--resume"]) == 2
    assert "/gone.gguf, no longer exists" in capsys.readouterr().err
    assert run(["chat", str(file), "--resume", path.stem, "--load", "y.json"]) == 2
    assert "--load and --resume are both given" in capsys.readouterr().err


# --- pipes and crashes


def start(tmp_path: Path, **settings: Any) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *FOLDERS]))}
    command = [sys.executable, str(TESTS / "support" / "fake_chat.py"), json.dumps(settings)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environ)


def test_a_pipe_is_kept_only_if_it_continues_with_a_chat(tmp_path: Path, folder: Path) -> None:
    start(tmp_path).communicate(b"a\n", timeout=60)
    assert not folder.exists()
    path = kept(folder, "a")
    out, _ = start(tmp_path, resume=str(path)).communicate(b"b\nc\n", timeout=60)
    assert out == b"Hello!\nHello!\n"
    assert len(read_session(path).conversation.turns) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_kill_costs_at_most_the_answer_in_progress(tmp_path: Path, folder: Path) -> None:
    path = kept(folder, "a")
    answers = [["two"], [f"{i}\n" for i in range(1000)]]
    child = start(tmp_path, resume=str(path), answers=answers, pause=0.02)
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(b"b\nc\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"two\n"
    assert child.stdout.read(4) == b"0\n1\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    session = Session(FakeModel(), Generation())
    question = session.resume(read_session(path))
    assert [message.content for message in session.messages] == ["a", "one", "b", "two"]
    assert question == "c"


def test_several_chats_at_once_do_not_meet(tmp_path: Path, folder: Path) -> None:
    path = kept(folder, "a")
    lines = [f"{name} {i}" for i in range(5) for name in "xy"]
    children = [start(tmp_path, resume=str(path), pause=0.01) for _ in range(2)]
    for name, child in zip("xy", children, strict=True):
        assert child.stdin is not None
        child.stdin.write("".join(f"{line}\n" for line in lines if name in line).encode())
        child.stdin.close()
    for child in children:
        assert child.wait(60) == 0
        for stream in (child.stdout, child.stderr):
            assert stream is not None
            stream.close()
    found = read_session(path)
    said = {node.turn.message.content for node in found.tree.nodes.values()}
    assert found.damaged == 0
    assert said == {"a", "one", "Hello!", *lines}
