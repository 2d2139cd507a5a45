r"""Where a prompt comes from: each kind of stdin, files, words, and what is no text."""

import io
import os
import pty
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from lepton_cli.engine.text import reading as texts
from lepton_cli.ui.arguments import prompt as prompts
from lepton_cli.ui.arguments.options.prompt import PromptOptions
from lepton_cli.ui.arguments.prompt import expand_escapes, gather
from quant.errors import UsageError

NOTHING = PromptOptions()


@contextmanager
def piped(data: bytes) -> Iterator[TextIO]:
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    with open(read) as stdin:
        yield stdin


@contextmanager
def opened(path, data: bytes) -> Iterator[TextIO]:
    path.write_bytes(data)
    with path.open() as stdin:
        yield stdin


# --- kinds of stdin


@pytest.mark.parametrize(
    ("data", "words", "prompt"),
    [
        (b"hi", "x", "hi\n\nx"),
        (b"hi\n", "x", "hi\n\nx"),
        (b"hi\r\n", "x", "hi\n\nx"),
        (b"hi\n\n", "x", "hi\n\n\nx"),
        (b"hi\n", None, "hi"),
        (b"", "x", "x"),
        (b"\n", "x", "x"),
        ("ünï 世界\n".encode(), "ß", "ünï 世界\n\nß"),
        (b"  two  \n spaces ", None, "  two  \n spaces "),
        (b"\\n stays", None, "\\n stays"),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_stdin_comes_first_then_a_blank_line(tmp_path, kind, data, words, prompt):
    with piped(data) if kind == "pipe" else opened(tmp_path / "stdin", data) as stdin:
        assert gather(words, NOTHING, stdin) == prompt


def test_a_socket_is_read_as_a_pipe_is():
    ours, theirs = socket.socketpair()
    ours.send(b"hi\n")
    ours.close()
    with theirs, open(theirs.fileno(), closefd=False) as stdin:
        assert gather("x", NOTHING, stdin) == "hi\n\nx"


def test_a_terminal_is_not_read():
    ours, theirs = pty.openpty()
    os.write(ours, b"typed\n")
    with open(theirs) as stdin, open(ours):
        assert gather("x", NOTHING, stdin) == "x"


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_not_read(device):
    with open(device) as stdin:
        assert gather("x", NOTHING, stdin) == "x"


def test_a_closed_stdin_is_none():
    with open(os.devnull) as stdin:
        pass
    assert gather("x", NOTHING, stdin) == "x"
    assert gather("x", NOTHING, None) == "x"


def test_a_pipe_is_left_alone_when_told():
    with piped(b"hi") as stdin:
        assert gather("x", PromptOptions(no_stdin=True), stdin) == "x"
        assert stdin.read() == "hi"


def test_a_pipe_that_stays_open_is_reported_about(monkeypatch, capsys):
    monkeypatch.setattr(prompts, "PATIENCE", 0.05)
    read, write = os.pipe()

    def finish() -> None:
        time.sleep(0.3)
        os.write(write, b"late")
        os.close(write)

    threading.Thread(target=finish).start()
    with open(read) as stdin:
        assert gather("x", NOTHING, stdin) == "late\n\nx"
    assert capsys.readouterr().err.count("waiting for the end of stdin") == 1


def test_nothing_is_said_of_a_pipe_that_ends(monkeypatch, capsys):
    monkeypatch.setattr(prompts, "PATIENCE", 0.05)
    with piped(b"hi") as stdin:
        gather("x", NOTHING, stdin)
    time.sleep(0.1)
    assert not capsys.readouterr().err


class Terminal(io.StringIO):
    """A stderr in front of a person."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("data", "words", "options", "told"),
    [
        (b"two\nthree\n", "x", NOTHING, "10 bytes"),
        (b"!", "x", NOTHING, "1 byte "),
        (b"two\n", None, PromptOptions(prompt="x"), "4 bytes"),
        (b"two\n", None, NOTHING, None),  # there is no other prompt
        (b"", "x", NOTHING, None),
        (b"two\n", "x", PromptOptions(no_stdin=True), None),
        (b"two\n", "x", PromptOptions(file=["-"]), None),  # asked for
    ],
)
def test_a_person_is_reported_what_of_stdin_was_taken(monkeypatch, data, words, options, told):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with piped(data) as stdin:
        gather(words, options, stdin)
    said = sys.stderr.getvalue()
    assert told in said and "--no-stdin" in said if told else not said
    assert said.count("\n") == bool(told)


def test_stdin_beside_a_file_is_reported_too(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stderr", Terminal())
    (tmp_path / "x").write_text("x")
    with piped(b"two\n") as stdin:
        gather(None, PromptOptions(file=[str(tmp_path / "x")]), stdin)
    assert "4 bytes" in sys.stderr.getvalue()


def test_a_script_is_reported_nothing_of_stdin(capsys):
    with piped(b"two\n") as stdin:
        gather("x", NOTHING, stdin)
    assert not capsys.readouterr().err


# --- files


def test_files_stand_between_stdin_and_words(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_bytes(b"one\n")
    second.write_bytes(b"two \\n\n\n")
    files = PromptOptions(file=[str(first), str(second)])
    with piped(b"zero\n") as stdin:
        assert gather("three", files, stdin) == "zero\n\none\n\ntwo \\n\n\n\nthree"


def test_a_dash_is_stdin_even_a_terminal(tmp_path):
    ours, theirs = pty.openpty()
    os.write(ours, b"typed\n\x04")
    with open(theirs) as stdin, open(ours):
        assert gather("x", PromptOptions(file=["-"]), stdin) == "typed\n\nx"


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    make(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match=r"notes\.txt(: | is a folder)"):
        gather("x", PromptOptions(file=[str(tmp_path / "notes.txt")]), None)


def test_what_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(texts, "MAX_BYTES", 1000)
    with pytest.raises(UsageError, match="/dev/zero does not end"):
        gather("x", PromptOptions(file=["/dev/zero"]), None)


# --- words


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (r"a\nb\tc", "a\nb\tc"),
        (r"\\n", r"\n"),
        (r"\x41\xC3\xA9", "Aé"),
        (r"\'\"", "'\""),
        (r"\r", "\r"),
        (r"\d+ \x4 \q", r"\d+ \x4 \q"),
        ("trailing\\", "trailing\\"),
        ("世\\n界", "世\n界"),
    ],
)
def test_escapes_are_expanded_as_llama_cpp_does(typed, text):
    assert expand_escapes(typed, "-p") == text
    assert gather(None, PromptOptions(prompt=typed), None) == text
    assert gather(None, PromptOptions(prompt=typed, escape=False), None) == typed


def test_the_word_of_the_command_line_is_taken_as_it_is():
    assert gather(r"a\nb", NOTHING, None) == r"a\nb"


@pytest.mark.parametrize(
    ("words", "options", "data", "message"),
    [
        (None, NOTHING, None, "there is no prompt"),
        ("", NOTHING, None, "the prompt is empty"),
        (None, NOTHING, b"", "the prompt is empty"),
        (None, NOTHING, b"\n", "the prompt is empty"),
        (None, PromptOptions(prompt=""), b"", "the prompt is empty"),
        ("x", PromptOptions(prompt="y"), None, "given twice"),
        ("caf\udce9", NOTHING, None, "the prompt is not UTF-8: byte 0xe9 at 3"),
        (None, NOTHING, b"ab\xff", "stdin is not UTF-8: byte 0xff at 2"),
        (None, PromptOptions(prompt=r"\xff"), None, "not UTF-8"),
    ],
)
def test_what_is_not_a_prompt_is_refused(words, options, data, message):
    with piped(data or b"") as stdin, pytest.raises(UsageError) as caught:
        gather(words, options, None if data is None else stdin)
    assert message in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.txt is not UTF-8: byte 0xe9 at 3"):
        gather(None, PromptOptions(file=[str(tmp_path / "latin.txt")]), None)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and terminals of POSIX")
