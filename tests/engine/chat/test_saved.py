"""A chat in a file of the person's: what comes back, what is never replaced, what is refused."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from fake_session import chat
from hypothesis import given
from hypothesis import strategies as st

from lepton_cli.engine.chat.conversation import Conversation, Turn
from lepton_cli.engine.chat.saved import WRITERS, SavedChat, read_chat, write_chat
from lepton_cli.engine.events import Reasoning
from lepton_cli.engine.text.messages import Message
from quant.errors import UsageError

words = st.text(st.characters(exclude_categories=["Cs"]))
turns = st.builds(
    Turn,
    st.builds(Message, st.sampled_from(["user", "assistant"]), words, st.none() | words),
    st.sampled_from([None, "stop", "length", "context", "interrupted"]),
)
chats = st.builds(
    SavedChat,
    st.builds(Conversation, st.none() | words, st.lists(turns).map(tuple)),
    st.none() | words,
)


@given(chats)
def test_saved_chat_comes_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, kept: SavedChat
) -> None:
    path = tmp_path_factory.getbasetemp() / "chat.json"
    write_chat(path, kept)
    assert read_chat(path) == kept


def test_session_continues_where_a_saved_one_ended(tmp_path: Path) -> None:
    session, _ = chat([Reasoning("hm"), "one"])
    session.set_system("be brief")
    list(session.send("a"))
    session.save(tmp_path / "kept.json")
    other, model = chat(["two"])
    assert other.load(tmp_path / "kept.json") == "Fake 260K"
    assert other.messages == session.messages
    list(other.send("b"))
    assert "be brief" in model.prompts[0] and "one" in model.prompts[0]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has file modes")
@pytest.mark.parametrize("suffix", WRITERS)
def test_saved_chats_are_their_owners_alone(tmp_path: Path, suffix: str) -> None:
    session, _ = chat()
    list(session.send("a secret"))
    path = tmp_path / f"kept{suffix}"
    session.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "a secret" in path.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_save_does_not_replace_a_foreign_file_unasked(tmp_path: Path) -> None:
    session, _ = chat()
    list(session.send("a"))
    path = tmp_path / "notes.md"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists"):
        session.save(path)
    assert path.read_text() == "precious"
    session.save(path, overwrite=True)
    list(session.send("b"))
    session.save(path)  # it is ours now
    assert "precious" not in path.read_text()


def test_save_needs_a_known_format_and_a_place(tmp_path: Path) -> None:
    session, _ = chat()
    with pytest.raises(UsageError, match=r"\.pdf") as caught:
        session.save(tmp_path / "kept.pdf")
    assert ".json" in str(caught.value.hint)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        session.save(tmp_path / "file" / "kept.json")
    with pytest.raises(UsageError, match="No such file"):
        session.save(tmp_path / "mistyped" / "kept.json")
    assert not (tmp_path / "mistyped").exists()


GOOD: dict[str, Any] = {"format": "lepton-chat", "version": 1, "model": None, "messages": []}
USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not a saved chat"),
        ("[" * 100_000, "not a saved chat"),
        ("{}", "lepton-chat"),
        (json.dumps({**GOOD, "version": 2}), "version 2"),
        (json.dumps({**GOOD, "messages": {}}), "not a list"),
        (json.dumps({**GOOD, "messages": ["hi"]}), "message 1"),
        (
            json.dumps({**GOOD, "messages": [USER, {**USER, "role": "boss"}]}),
            "message 2: unknown role",
        ),
        (json.dumps({**GOOD, "messages": [{**USER, "content": None}]}), "must be text"),
        (json.dumps({**GOOD, "messages": [{**USER, "content": "\ud800"}]}), "must be text"),
        (json.dumps({**GOOD, "messages": [{**USER, "finish": "bored"}]}), "unknown finish"),
        (json.dumps({**GOOD, "messages": [USER, {**USER, "role": "system"}]}), "first message"),
    ],
)
def test_load_of_what_is_not_a_chat_keeps_the_present_one(
    tmp_path: Path, text: str, named: str
) -> None:
    session, _ = chat()
    list(session.send("a"))
    before = session.conversation
    path = tmp_path / "kept.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UsageError, match=named):
        session.load(path)
    assert session.conversation is before


def test_load_of_a_missing_file_a_folder_and_binary_are_errors(tmp_path: Path) -> None:
    session, _ = chat()
    (tmp_path / "kept.json").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.json", ".", "kept.json"):
        with pytest.raises(UsageError):
            session.load(tmp_path / name)
