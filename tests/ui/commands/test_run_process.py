"""`lepton run` as a process of its own: the bytes on its streams, its signals and exit codes."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from make_gguf import CHATML, write_model

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and terminals of POSIX")

LEPTON = (sys.executable, "-m", "lepton_cli", "run")
QUICK = ("--backend", "reference", "--temp", "0", "-n", "8", "--ignore-eos")
ENDLESS = ("--backend", "reference", "--ignore-eos", "--overflow", "shift", "--no-stdin", "hi")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models")
    return str(write_model(folder / "tiny.gguf", metadata={"tokenizer.chat_template": CHATML}))


def lepton(*args: str, **how: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*LEPTON, *args], capture_output=True, timeout=60, **how)


def shell(command: str, *args: str) -> subprocess.CompletedProcess[bytes]:
    """The command with "$@" for lepton run and its arguments."""
    whole = ["bash", "-o", "pipefail", "-c", command, "bash", *LEPTON, *args]
    return subprocess.run(whole, capture_output=True, timeout=60)


def on_terminal(*args: str, **how: object) -> bytes:
    """What a terminal that is the process's stdout gets."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*LEPTON, *args], stdout=theirs, stdin=theirs, **how)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # how Linux tells that the other side is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return seen


@pytest.fixture(scope="module")
def answer(model) -> bytes:
    done = lepton(model, *QUICK, "hi", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\n")
    return done.stdout


# --- streams


@pytest.mark.parametrize("variable", ["TERM=dumb", "NO_COLOR=1", "CLICOLOR_FORCE=1"])
def test_stdout_is_the_same_for_pipe_file_and_terminal(model, answer, variable, tmp_path):
    name, _, value = variable.partition("=")
    environ = {**os.environ, name: value}
    piped = lepton(model, *QUICK, "hi", env=environ, stdin=subprocess.DEVNULL)
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([*LEPTON, model, *QUICK, "--no-stdin", "hi"], stdout=out, env=environ)
    shown = on_terminal(model, *QUICK, "hi", env=environ)
    assert piped.stdout == answer
    assert (tmp_path / "out").read_bytes() == answer
    assert shown.replace(b"\r\n", b"\n") == answer
    assert b"\x1b" not in shown


def test_the_same_seed_gives_the_same_bytes(model):
    args = (model, "--backend", "reference", "-n", "20", "--seed", "3", "--no-stdin", "hi")
    assert lepton(*args).stdout == lepton(*args).stdout


@pytest.mark.parametrize(
    ("data", "words"), [(b"hi\n", None), (b"", "hi"), (b"h", "i")], ids=["alone", "empty", "both"]
)
def test_a_pipe_is_read(model, data, words):
    args = [model, *QUICK, "--json", *([words] if words else [])]
    piped = json.loads(lepton(*args, input=data).stdout)
    prompt = "\n\n".join(part for part in (data.decode().strip(), words) if part)
    given = json.loads(lepton(model, *QUICK, "--json", "--no-stdin", prompt).stdout)
    assert piped["counts"] == given["counts"]
    assert piped["token_ids"] == given["token_ids"]


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_streams_that_the_caller_closed_do_no_harm(model, answer, closed):
    done = shell(f'"$@" {closed}', model, *QUICK, "hi")
    assert (done.returncode, done.stdout) == (0, answer)


@pytest.mark.parametrize(
    "sink",
    [
        ">&-",
        pytest.param(
            "> /dev/full",
            marks=pytest.mark.skipif(
                not Path("/dev/full").exists(), reason="there is no /dev/full"
            ),
        ),
    ],
)
def test_a_stdout_that_takes_nothing_is_a_failure(model, sink):
    done = shell(f'"$@" {sink}', model, *QUICK, "--no-stdin", "hi")
    assert done.returncode == 1
    assert done.stderr.startswith(b"lepton: error: ")
    assert done.stderr.count(b"\n") <= 2


# --- signals


def test_a_reader_that_leaves_is_no_error(model):
    done = shell('"$@" | head -c 1', model, *ENDLESS)
    assert len(done.stdout) == 1
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_the_answer_so_far(model, number):
    with subprocess.Popen(
        [*LEPTON, model, *ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        first = process.stdout.read(1)
        process.send_signal(number)
        rest, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (first + rest).endswith(b"\n")
    assert err == b""


def test_ctrl_c_while_waiting_for_stdin_is_quiet(model):
    with subprocess.Popen(
        [*LEPTON, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert b"waiting for the end of stdin" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


# --- exit codes


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["hi", "-c", "8"], 4, "8"),
        (["hi", "-c", "900000000"], 5, "use -c"),
        ([b"caf\xe9"], 2, "not UTF-8"),
        ([""], 2, "empty"),
        (["hi", "--chat-template", "{{ raise_exception('no!') }}"], None, "no!"),
    ],
)
def test_what_goes_wrong_has_its_exit_code(model, args, code, words):
    done = lepton(model, "--backend", "reference", "--no-stdin", *args)
    assert done.stdout == b""
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert code is None or done.returncode == code


@pytest.mark.parametrize("content", [b"", b"GGUF\3\0\0\0", b"\x7fELF"])
def test_a_file_that_is_not_a_model_exits_3(tmp_path, content):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    done = lepton(str(path), "--no-stdin", "hi")
    assert done.returncode == 3
    assert b"bad.gguf" in done.stderr


def test_a_folder_is_not_a_model(tmp_path):
    done = lepton(str(tmp_path), "--no-stdin", "hi")
    assert (done.returncode, done.stdout) == (2, b"")


# --- real models


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_trained_model_tells_its_story(shared_data, backend):
    models = shared_data("models")
    words = ("--raw", "--temp", "0", "-n", "100", "-p", "Once upon a time")
    done = lepton(str(models / "stories260K-F32.gguf"), *words, "--backend", backend, "--no-stdin")
    assert done.stdout == (models / "stories260K-F32.txt").read_bytes() + b"\n"
