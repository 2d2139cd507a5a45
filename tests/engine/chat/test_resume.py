"""A chat on disk as it happens: nothing is lost, whatever ends the program or writes beside it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_model import FakeModel
from fake_session import Template, chat, contents, said
from hypothesis import given
from hypothesis import strategies as st
from platforms import posix

from lepton_cli.engine.chat import autosave
from lepton_cli.engine.chat.autosave import Autosave, read_session
from lepton_cli.engine.chat.branches import Tree
from lepton_cli.engine.chat.chats import chats_in, find_chat, latest_session
from lepton_cli.engine.chat.conversation import Conversation, Turn
from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Reasoning
from lepton_cli.engine.text.messages import Message
from quant.errors import LeptonError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


def kept_chat(folder: Path, *answers: list[str | Reasoning]) -> tuple[Session, FakeModel]:
    session, model = chat(*answers)
    session.autosave = Autosave(folder)
    return session, model


def resumed(path: Path, *answers: list[str | Reasoning]) -> tuple[Session, str | None]:
    session, model = kept_chat(path.parent, *answers)
    return session, session.resume(read_session(path, model.identity))


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


# --- what is kept


def test_a_resumed_chat_is_the_same_and_continues(folder: Path) -> None:
    session, _ = kept_chat(folder, [Reasoning("hm"), "one"])
    session.set_system("be brief")
    said(session.send("a"))
    other, question = resumed(only(folder), ["two"])
    assert other.conversation == session.conversation
    assert other.conversation.turns[-1].token_ids and question is None
    said(other.send("b"))
    assert contents(read_session(only(folder))) == ["be brief", "a", "one", "b", "two"]


words = st.text(st.characters(exclude_categories=["Cs"]))
turns = st.builds(
    Turn,
    st.builds(Message, st.sampled_from(["user", "assistant"]), words, st.none() | words),
    st.sampled_from([None, "stop", "length", "context", "interrupted"]),
)


@given(st.lists(st.builds(Conversation, st.none() | words, st.lists(turns).map(tuple))))
def test_every_conversation_comes_back(
    tmp_path_factory: pytest.TempPathFactory, said: list[Conversation]
) -> None:
    folder = tmp_path_factory.mktemp("sessions")
    tree, saver = Tree(), Autosave(folder)
    tree.add(Conversation(None, (Turn(Message("user", "hi")),)))
    ends = [tree.add(conversation) for conversation in said]
    saver.record(tree, ends[-1] if ends else None, FakeModel())
    kept = read_session(only(folder))
    assert kept.damaged == 0
    assert [kept.tree.conversation(end) for end in ends] == said
    assert kept.conversation == (said[-1] if said else Conversation())


def test_nothing_that_was_ever_said_is_lost(folder: Path) -> None:
    session, _ = kept_chat(folder, *([f"answer {i}"] for i in range(9)))
    said(session.send("one"))
    said(session.retry())
    said(session.edit("other"))
    session.undo()
    said(session.send("two"))
    session.edit_answer("in your mouth")
    session.set_system("be brief")
    session.clear()
    said(session.send("three"))
    kept = read_session(only(folder))
    texts = {node.turn.message.content for node in kept.tree.nodes.values()}
    answers = {f"answer {i}" for i in range(5)}
    assert texts == {"one", "other", "two", "in your mouth", "be brief", "three"} | answers
    assert contents(kept) == contents(session) == ["be brief", "three", "answer 4"]


def test_a_question_is_on_disk_before_its_answer(folder: Path) -> None:
    session, _ = kept_chat(folder, ["one"], ["two", "three"])
    said(session.send("a"))
    events = session.send("b")
    next(events)
    kept = read_session(only(folder))  # as after kill -9
    other, question = resumed(only(folder))
    assert contents(kept) == ["a", "one", "b"]
    assert (contents(other), question) == (["a", "one"], "b")
    events.close()


def test_an_answer_that_fails_leaves_the_chat_where_it_was(folder: Path) -> None:
    session, model = kept_chat(folder, ["one"], [])
    said(session.send("a"))
    model.failure = LeptonError("broken")
    with pytest.raises(LeptonError):
        said(session.send("b"))
    assert contents(read_session(only(folder))) == ["a", "one"]


def test_going_on_with_an_answer_keeps_it_meanwhile(folder: Path) -> None:
    session, model = kept_chat(folder, ["one "], ["two"])
    model.reason = "length"
    said(session.send("count"))
    events = session.continue_last()
    next(events)
    assert contents(read_session(only(folder))) == ["count", "one "]
    said(events)
    assert contents(read_session(only(folder))) == ["count", "one two"]


@pytest.mark.parametrize("change", ["undo", "back", "go_to", "switch"])
def test_where_the_chat_has_come_to_is_kept(folder: Path, change: str) -> None:
    session, _ = kept_chat(folder, ["one"], ["two"])
    said(session.send("a"))
    said(session.send("b"))
    said(session.edit("c"))
    if change == "go_to":
        session.go_to(session.branches()[0])
    elif change == "switch":
        session.switch(FakeModel(name="Other"))
    else:
        getattr(session, change)()
    kept = read_session(only(folder))
    assert kept.conversation.messages == session.messages
    assert kept.model == ("Other" if change == "switch" else "Fake 260K")
    assert kept.file == Path("fake.gguf").absolute()


def test_a_chat_without_a_question_leaves_no_file(folder: Path) -> None:
    session, _ = kept_chat(folder)
    session.set_system("be brief")
    session.clear()
    assert not folder.exists()


def test_tokens_count_for_their_model_alone(folder: Path) -> None:
    session, model = kept_chat(folder, ["one "])
    model.reason = "length"
    said(session.send("count"))
    other = FakeModel(answers=[["two"]], template=Template(), identity="another")
    resumed = Session(other, Generation())
    resumed.autosave = Autosave(folder)
    resumed.resume(read_session(only(folder), other.identity))
    assert resumed.conversation.turns[-1].token_ids == ()
    said(resumed.continue_last())
    assert contents(resumed) == ["count", "one two"]


def test_tokens_of_a_former_model_do_not_come_back_with_a_branch() -> None:
    session, _ = chat(["one"], ["two"])
    said(session.send("a"))
    said(session.retry())
    session.switch(FakeModel(answers=[["x"]], template=Template(), identity="another"))
    session.back()
    assert session.conversation.turns[-1] == Turn(Message("assistant", "one"), "stop")


def test_a_partial_character_from_a_terminal_loses_nothing_else(folder: Path) -> None:
    tree = Tree()
    end = tree.add(Conversation(None, (Turn(Message("user", "caf\udcc3 au lait")),)))
    Autosave(folder).record(tree, end, FakeModel())
    assert contents(read_session(only(folder))) == ["caf? au lait"]


# --- branches


def endings(session: Session) -> list[tuple[str, bool]]:
    return [(contents(each.conversation)[-1], each.is_current) for each in session.branches()]


def test_branches_are_all_answers_that_nothing_follows() -> None:
    session, _ = chat(["one"], ["two"], ["three"])
    assert session.branches() == []
    said(session.send("a"))
    said(session.retry())
    said(session.send("b"))
    session.undo()
    assert endings(session) == [("one", False), ("two", True), ("three", False)]


def test_to_go_to_a_branch_can_be_taken_back() -> None:
    session, _ = chat(["one"], ["two"])
    said(session.send("a"))
    said(session.retry())
    session.go_to(session.branches()[0])
    assert contents(session) == ["a", "one"]
    assert session.back()
    assert contents(session) == ["a", "two"]


def test_an_answer_that_was_continued_is_not_a_branch_of_its_own() -> None:
    session, model = chat(["one "], ["two"])
    model.reason = "length"
    said(session.send("count"))
    said(session.continue_last())
    assert endings(session) == [("one two", True)]


# --- crashes, and programs beside


def test_a_file_that_was_torn_anywhere_gives_all_whole_lines(folder: Path) -> None:
    session, _ = kept_chat(folder, ["one"], ["two, three"])
    session.set_system("sÿs")
    for text in ("a", "b"):
        said(session.send(text))
    path = only(folder)
    whole = path.read_bytes()
    for end in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:end])
        kept = read_session(path)
        complete = whole[:end].count(b"\n")
        assert kept.damaged <= 1
        assert contents(kept) == contents(session)[: len(contents(kept))]
        assert len(kept.tree.nodes) >= sum(
            b'"turn"' in line for line in whole.split(b"\n")[:complete]
        )


def test_what_follows_a_torn_line_is_whole(folder: Path) -> None:
    session, _ = kept_chat(folder, ["one"])
    said(session.send("a"))
    path = only(folder)
    path.write_bytes(path.read_bytes()[:-5])
    other, _ = resumed(path, ["two"])
    said(other.send("b"))
    kept = read_session(path)
    assert kept.damaged == 1
    assert contents(kept)[-2:] == ["b", "two"]


def test_chats_that_begin_alike_have_files_of_their_own(folder: Path) -> None:
    for answer in ("one", "two", "three"):
        session, _ = kept_chat(folder, [answer])
        said(session.send("Hello there"))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["hello-there-2.jsonl", "hello-there-3.jsonl", "hello-there.jsonl"]
    found = {contents(read_session(path))[-1] for path in folder.iterdir()}
    assert found == {"one", "two", "three"}


def test_two_programs_that_continue_one_chat_make_branches(folder: Path) -> None:
    session, _ = kept_chat(folder, ["one"])
    said(session.send("a"))
    path = only(folder)
    (left, _), (right, _) = resumed(path, ["L"]), resumed(path, ["R"])
    for text in ("b", "c"):
        said(left.send(f"left {text}"))
        said(right.send(f"right {text}"))
    third, _ = resumed(path)
    found = [contents(branch.conversation) for branch in third.branches()]
    assert found == [contents(left), contents(right)]


def test_a_file_that_was_moved_away_is_begun_again_with_everything(folder: Path) -> None:
    session, _ = kept_chat(folder, ["one"], ["two"])
    said(session.send("a"))
    only(folder).rename(folder.parent / "elsewhere.jsonl")
    said(session.send("b"))
    assert contents(read_session(only(folder))) == ["a", "one", "b", "two"]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many bytes still go on it, in a list that a test may change."""
    room, write = [0], os.write

    def limited(handle: int, data: bytes) -> int:
        part = data[: room[0]]
        room[0] -= len(part)
        if data and not part:
            raise OSError(28, "No space left on device")
        return write(handle, part)

    monkeypatch.setattr(autosave.os, "write", limited)
    return iter([room])


def test_a_full_disk_costs_no_answer_and_is_made_up_for(
    folder: Path, full_disk: Iterator[list[int]]
) -> None:
    room = next(full_disk)
    session, _ = kept_chat(folder, ["one"], ["two"], ["three"])
    assert said(session.send("a")) == "one"
    assert session.autosave is not None and session.autosave.failure == "No space left on device"
    assert not list(folder.iterdir())
    room[0] = 150  # the first lines, and a part of another
    assert said(session.send("b")) == "two"
    assert session.autosave.failure
    room[0] = 1 << 20
    assert said(session.send("c")) == "three"
    assert session.autosave.failure is None
    kept = read_session(only(folder))
    assert contents(kept) == ["a", "one", "b", "two", "c", "three"]


def test_a_folder_that_cannot_be_made_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    session, _ = kept_chat(tmp_path / "file" / "sessions")
    assert said(session.send("a")) == "Hello!"
    assert session.autosave is not None and "cannot write" in str(session.autosave.failure)


@posix
def test_saved_chats_are_their_owners_alone(folder: Path) -> None:
    session, _ = kept_chat(folder)
    said(session.send("a secret"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only(folder).stat().st_mode) == 0o600


# --- whose they are


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lepton's own folder of chats, with one in it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session, _ = kept_chat(autosave.sessions_folder())
    said(session.send("a"))
    return autosave.sessions_folder()


@posix
@pytest.mark.parametrize("above", [0, 1, 2])
def test_a_folder_that_others_can_write_is_neither_read_nor_written(own: Path, above: int) -> None:
    session, _ = resumed(only(own))
    place = [own, *own.parents][above]
    place.chmod(0o777)
    before = only(own).read_bytes()
    with pytest.raises(UsageError, match=f"others can write to {place} ") as refused:
        read_session(only(own))
    assert refused.value.hint == f"chmod go-w {place}"
    said(session.send("b"))
    assert session.autosave is not None
    assert f"chmod go-w {place}" in str(session.autosave.failure)
    assert only(own).read_bytes() == before


@posix
def test_a_chat_that_others_can_write_is_refused_in_the_own_folder_alone(
    own: Path, tmp_path: Path
) -> None:
    other = tmp_path / "from-ann.jsonl"
    other.write_bytes(only(own).read_bytes())
    for path in (only(own), other):
        path.chmod(0o666)
    with pytest.raises(UsageError, match="others can write to"):
        read_session(only(own))
    assert contents(read_session(other)) == ["a", "Hello!"]


@posix
@pytest.mark.parametrize("planted", ["a pipe", "endless", "a folder"])
def test_what_is_not_a_file_is_refused_and_not_waited_for(own: Path, planted: str) -> None:
    path = own / "planted.jsonl"
    match planted:
        case "a pipe":
            os.mkfifo(path)
        case "endless":
            path.symlink_to("/dev/zero")
        case "a folder":
            path.mkdir()
    assert latest_session(own).stem == "a"
    with pytest.raises(UsageError):
        read_session(path)


# --- finding


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Tell me a story, please!", "tell-me-a-story-please"),
        ("../../etc/passwd", "etc-passwd"),
        ("  \n\t", "chat"),
        ("???", "chat"),
        ("Größe in Zoll", "größe-in-zoll"),
        ("snake_case and\x1b[31m", "snake-case-and-31m"),
        ("日本語のとても長い文章" * 20, ("日本語のとても長い文章" * 20)[:40]),
        ("word " * 30, "-".join(["word"] * 8)),
    ],
)
def test_a_chat_is_called_by_its_first_words(folder: Path, words: str, name: str) -> None:
    session, _ = kept_chat(folder)
    said(session.send(words))
    assert only(folder).stem == name


def test_sessions_are_found_by_name_beginning_or_age(folder: Path) -> None:
    for age, text in enumerate(("red wine", "red whale", "blue")):
        session, _ = kept_chat(folder)
        said(session.send(text))
        os.utime(folder / f"{text.replace(' ', '-')}.jsonl", (1e9 - age, 1e9 - age))
    assert [path.stem for path in chats_in(folder)] == ["red-wine", "red-whale", "blue"]
    assert latest_session(folder).stem == "red-wine"
    assert find_chat("red-wh", [folder]).stem == "red-whale"
    assert find_chat("blue", [folder]).stem == "blue"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("red", "red-wine or red-whale"),
        ("blu3", "blue"),
        ("xyz", "red-wine"),
        ("a.gguf", "MODEL --resume"),
    ],
)
def test_a_name_that_is_none_tells_the_near_ones(folder: Path, name: str, hint: str) -> None:
    test_sessions_are_found_by_name_beginning_or_age(folder)
    with pytest.raises(UsageError, match="no chat is called") as caught:
        find_chat(name, [folder])
    assert hint in str(caught.value.hint)


def test_where_no_chat_is_kept_that_is_reported(folder: Path) -> None:
    with pytest.raises(UsageError, match="no chat is saved yet"):
        latest_session(folder)
