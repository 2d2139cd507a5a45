"""Text from outside: byte order marks, other encodings, and where what is no text stands."""

import json
import shlex

import pytest
from make_gguf import write_model

from lepton_cli.__main__ import run
from lepton_cli.engine.text.reading import decoded, other_encoding, read_text
from quant.errors import UsageError

MARK = "\ufeff".encode()
CHAT = {"format": "lepton-chat", "version": 1, "messages": [{"role": "user", "content": "hi"}]}
LATIN = "café".encode("latin-1")


# --- one way to read


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (MARK + b"hi\n", "hi"),
        (MARK, ""),
        (b"", ""),
        (b"hi\r\n", "hi"),
        (b"hi\n\n", "hi\n"),
        ("a\ufeffb".encode(), "a\ufeffb"),  # within a text it is a character
        (b"zero \0 is text", "zero \0 is text"),
    ],
)
def test_a_files_mark_and_last_newline_are_dropped(tmp_path, raw, text):
    (tmp_path / "a.txt").write_bytes(raw)
    assert read_text(str(tmp_path / "a.txt")) == text


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-32", "UTF-32"),
        ("utf-8", None),
        ("utf-8-sig", None),
    ],
)
def test_other_encodings_are_known_with_and_without_a_mark(codec, name):
    for text in ("hi", "Ein Text, länger als ein Wort\n", "x" * 5000):
        assert other_encoding(text.encode(codec)) == name


def test_a_model_in_place_of_a_text_is_named_as_such(tmp_path):
    path = write_model(tmp_path / "m.gguf", weights="F16")
    with pytest.raises(UsageError, match=r"m\.gguf is a GGUF file, not a text"):
        read_text(str(path))
    path.write_text("GGUF is a format of files")
    assert read_text(str(path)) == "GGUF is a format of files"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "latin-1"])
def test_the_cure_converts_the_file(tmp_path, codec):
    path = tmp_path / "my notes.txt"
    path.write_bytes("café".encode(codec))
    with pytest.raises(UsageError) as caught:
        read_text(str(path))
    assert caught.value.message.startswith(f"{path} is ")
    assert f"'{path}' > '{tmp_path / 'my notes-utf8.txt'}'" in caught.value.hint


def test_the_first_wrong_byte_is_reported():
    with pytest.raises(UsageError, match=r"^stdin is not UTF-8: byte 0xe9 at 3$"):
        decoded(LATIN, "stdin")


def test_a_folder_is_reported_with_a_file_in_it(tmp_path):
    (tmp_path / "a.txt").write_text("hi")
    with pytest.raises(UsageError, match="is a folder, not a text file") as caught:
        read_text(str(tmp_path))
    assert caught.value.hint == f"name a file in it: {tmp_path / 'a.txt'}"


def test_a_quoted_pattern_is_reported_with_a_file_that_it_means(tmp_path):
    (tmp_path / "a.txt").write_text("hi")
    with pytest.raises(UsageError) as caught:
        read_text(str(tmp_path / "*.txt"))
    assert caught.value.hint == f"name one file, not a pattern: {tmp_path / 'a.txt'}"


# --- every place where text comes in


@pytest.fixture
def shown(capfdbinary, monkeypatch):
    def show(*args: object) -> str:
        code = run([*map(str, args), "--no-stdin"])
        out, err = capfdbinary.readouterr()
        assert code == 0, err
        return out.decode()

    return show


PROMPT = "<|user|>hi<|end|><|assistant|>\n"


def test_a_mark_before_a_prompt_is_not_part_of_it(shown, tmp_path):
    (tmp_path / "a.txt").write_bytes(MARK + b"hi")
    assert shown("template", "builtin", "-f", tmp_path / "a.txt") == PROMPT
    assert shown("template", "builtin", "\ufeffhi") == PROMPT
    assert shown("template", "builtin", "-p", "\ufeffhi") == PROMPT


@pytest.mark.parametrize("flag", ["-sysf", "--chat-template-file"])
def test_a_mark_before_a_file_of_a_flag_is_not_part_of_it(shown, tmp_path, flag):
    (tmp_path / "a.txt").write_bytes(MARK + b"chatml")
    (tmp_path / "b.txt").write_bytes(b"chatml")
    marked = shown("template", "builtin", "hi", flag, tmp_path / "a.txt")
    assert marked == shown("template", "builtin", "hi", flag, tmp_path / "b.txt")


@pytest.mark.parametrize(
    ("flag", "text", "answer"),
    [("-jf", '{"const": true}', "true\n"), ("--grammar-file", 'root ::= "yes"', "yes\n")],
)
def test_a_mark_before_a_form_is_not_part_of_it(shown, tmp_path, flag, text, answer):
    (tmp_path / "form").write_bytes(MARK + text.encode())
    assert shown("run", "builtin", "hi", flag, tmp_path / "form") == answer
    if flag == "-jf":
        assert shown("run", "builtin", "hi", "-j", "\ufeff" + text) == answer


def test_a_mark_before_settings_is_not_part_of_them(shown, tmp_path, monkeypatch):
    (tmp_path / "config.toml").write_bytes(MARK + b'system-prompt = "be brief"')
    monkeypatch.setenv("LEPTON_CONFIG", str(tmp_path / "config.toml"))
    assert "be brief" in shown("template", "builtin", "hi")


def test_a_mark_before_a_variable_is_not_part_of_it(shown, monkeypatch):
    monkeypatch.setenv("LEPTON_SYSTEM_PROMPT", "\ufeffbe brief")
    assert "\ufeff" not in shown("template", "builtin", "hi")


def test_a_mark_before_a_saved_chat_is_not_part_of_it(tmp_path):
    from lepton_cli.engine.chat.saved import read_chat

    (tmp_path / "chat.json").write_bytes(MARK + json.dumps(CHAT).encode())
    assert read_chat(tmp_path / "chat.json").conversation.turns[0].message.content == "hi"


# --- what is no text


@pytest.mark.parametrize(
    ("args", "place"),
    [
        (["-p", "caf\udce9"], "--prompt"),
        (["caf\udce9"], "PROMPT"),
        (["hi", "-sys", "caf\udce9"], "--system-prompt"),
        (["hi", "-r", "ok", "-r", "caf\udce9"], "--reverse-prompt"),
        (["hi", "--ban", "caf\udce9"], "--ban"),
        (["hi", "-j", "caf\udce9"], "--json-schema"),
        (["hi", "--regex", "caf\udce9"], "--regex"),
        (["hi", "--choices", "a,caf\udce9"], "--choices"),
        (["hi", "--grammar", "caf\udce9"], "--grammar"),
        (["hi", "--chat-template", "caf\udce9"], "--chat-template"),
        (["hi", "--logit-bias", "caf\udce9"], "--logit-bias"),
        (["hi", "--dry-sequence-breaker", "caf\udce9"], "--dry-sequence-breaker"),
    ],
)
def test_a_flag_that_is_not_text_is_named(capsys, args, place):
    assert run(["run", "builtin", *args, "--no-stdin"]) == 2
    first, hint = capsys.readouterr().err.splitlines()
    assert first.startswith(f"lepton: error: {place} is not UTF-8: byte 0xe9 at ")
    assert hint.startswith("lepton: hint: write it in UTF-8")


def test_a_variable_that_is_not_text_is_named(capsys, monkeypatch):
    monkeypatch.setenv("LEPTON_SYSTEM_PROMPT", "caf\udce9")
    assert run(["run", "builtin", "hi", "--no-stdin"]) == 2
    told = "the variable LEPTON_SYSTEM_PROMPT is not UTF-8: byte 0xe9 at 3"
    assert told in capsys.readouterr().err


def test_a_files_name_may_be_of_any_bytes(shown, tmp_path):
    path = tmp_path / "caf\udce9.txt"
    try:
        path.write_text("hi")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert shown("template", "builtin", "-f", path) == PROMPT


def test_settings_that_are_not_text_are_named(capsys, monkeypatch, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('system-prompt = "hi"', encoding="utf-16")
    monkeypatch.setenv("LEPTON_CONFIG", str(path))
    assert run(["run", "builtin", "hi", "--no-stdin"]) == 2
    assert f"{path} is UTF-16, not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["-f", "a.txt", "b.txt", "c d.txt"], "-f a.txt -f b.txt -f 'c d.txt'"),
        (["-f", "a.txt", "b.txt", "Sum", "up"], "'Sum up' -f a.txt -f b.txt"),
        (["-f", "a.txt", "b.txt"], "-f a.txt -f b.txt"),
        (["a.txt", "b.txt"], "-f a.txt -f b.txt"),
    ],
)
@pytest.mark.parametrize("model", [["builtin"], ["-m", "builtin"]])
def test_a_pattern_without_quotes_is_reported(capsys, monkeypatch, tmp_path, model, words, cure):
    for name in ("a.txt", "b.txt", "c d.txt"):
        (tmp_path / name).write_text("hi")
    monkeypatch.chdir(tmp_path)
    assert run(["run", *model, *words, "--no-stdin"]) == 2
    first, hint = capsys.readouterr().err.splitlines()
    assert "is a file, given as the prompt" in first
    assert hint.startswith("lepton: hint: each file needs its own -f: lepton run ")
    typed = shlex.split(hint.partition("own -f: ")[2])
    wanted = ["lepton", "run", *model, "--no-stdin", *shlex.split(cure)]
    assert sorted(typed) == sorted(wanted)
    assert run(["run", "builtin", "a.txt", "-n", "1", "--no-stdin"]) == 0  # a word like others


def test_an_empty_file_is_noted(capsys, tmp_path):
    path = tmp_path / "empty.txt"
    path.touch()
    assert run(["template", "builtin", "hi", "-f", str(path), "--no-stdin"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (PROMPT, f"lepton: note: {path} is empty\n")
    assert run(["template", "builtin", "-f", str(path), "--no-stdin"]) == 2
    assert "the prompt is empty" in capsys.readouterr().err
