"""`lepton pull`, the offer to download, and `lepton models --remove`, as a person meets them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from hub_server import FakeHub, Fault, serving

from lepton_cli.__main__ import run
from lepton_cli.engine.hub.events import Checking, Progress, Remark
from lepton_cli.engine.hub.transport import Transport
from lepton_cli.engine.library.catalogue import load_aliases, packaged
from lepton_cli.ui.commands.library import offer, pull, removal
from lepton_cli.ui.reports import pull_bar
from lepton_cli.ui.reports.pull_bar import PullBar, progress_line
from lepton_cli.ui.terminal import status_line

ALIAS = load_aliases()["smollm2-135m"]
SECRET = "hf_secret"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "llama"))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    data = packaged("builtin.gguf").read_bytes()
    with serving(FakeHub(files={ALIAS.repo: {ALIAS.file: data}})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def lepton(hub, capfd):
    def call(*args):
        code = run([str(arg) for arg in args])
        out, err = capfd.readouterr()
        assert SECRET not in out + err
        return code, out, err

    return call


def test_a_name_of_the_catalogue_is_pulled_and_then_answers(lepton, tmp_path):
    code, out, err = lepton("pull", "smollm2-135m")
    assert code == 0
    path = out.removesuffix("\n")
    assert path.startswith(str(tmp_path / "hf/hub/models--")) and path.endswith(ALIAS.file)
    assert f"{ALIAS.repo}: {ALIAS.file}, 3.39 MB" in err
    assert lepton("run", "smollm2-135m", "hello", "-n", 3)[0] == 0
    assert lepton("run", "-hf", f"{ALIAS.repo}:q4_k_m", "hello", "-n", 3)[0] == 0
    code, again, err = lepton("pull", "smollm2-135m")
    assert (code, again) == (0, out) and "on this disk already" in err


def test_quiet_is_silent(lepton):
    assert lepton("pull", "-q", "-hf", ALIAS.repo)[2] == ""


def test_json_tells_what_came(lepton):
    told = json.loads(lepton("pull", "--json", ALIAS.repo)[1])
    assert told["schema"] == "lepton.pull.v1"
    assert told["bytes"] == told["downloaded"] == os.path.getsize(told["path"])


def test_the_list_tells_sizes_and_what_fits(lepton):
    code, out, _ = lepton("pull", ALIAS.repo, "--list")
    assert code == 0
    assert out.splitlines()[1].split() == ["Q4_K_M", "3.39", "MB", "yes", ALIAS.file]
    [model] = json.loads(lepton("pull", ALIAS.repo, "--list", "--json")[1])["models"]
    assert (model["files"], model["fits"], model["context"]) == ([ALIAS.file], True, 1024)


def test_who_did_not_choose_sees_what_else_there_is(lepton, hub, monkeypatch):
    hub.files[ALIAS.repo]["other-Q8_0.gguf"] = hub.files[ALIAS.repo][ALIAS.file]
    assert "has 1 other model: lepton pull" in lepton("pull", ALIAS.repo)[2]
    lepton("models", "--remove", ALIAS.repo, "--yes")
    monkeypatch.setattr(pull, "is_terminal", lambda stream: True)
    code, out, err = lepton("pull", ALIAS.repo)
    assert code == 0 and out.endswith("Q4_K_M.gguf\n")
    assert "Q8_0    3.39 MB  yes   other-Q8_0.gguf\n" in err
    assert "Q8_0" not in lepton("pull", f"{ALIAS.repo}:Q4_K_M")[2]


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        ([], 2, "for example: lepton pull smollm2-135m"),
        (["smollm2-135"], 2, "did you mean smollm2-135m?"),
        (["a/b", "-hf", "c/d"], 2, "a/b and c/d are both given"),
        (["a/b", "-hff", "x.gguf"], 2, "add -hf USER/REPO"),
        (["nobody/nothing"], 2, "is not on 127.0.0.1, or it is private"),
        (["--list", "http://x/y.gguf"], 2, "give USER/REPO"),
        (["--offline", "--list", "a/b"], 2, "leave out --offline"),
    ],
)
def test_what_cannot_be_pulled_is_told(lepton, args, code, told):
    found, out, err = lepton("pull", *args)
    assert (found, out) == (code, "") and told in err


@pytest.mark.parametrize("how", ["--offline", "HF_HUB_OFFLINE"])
def test_offline_opens_no_connection(lepton, hub, monkeypatch, how):
    lepton("pull", "-q", "smollm2-135m")
    monkeypatch.setattr(socket, "socket", None)
    if how == "HF_HUB_OFFLINE":
        monkeypatch.setenv(how, "1")
    flags = ["--offline"] if how == "--offline" else []
    assert lepton("pull", "smollm2-135m", *flags)[0] == 0
    code, _, err = lepton("pull", "qwen3-4b", *flags)
    assert code == 2 and "not on this disk" in err and "--offline" in err


def test_offline_the_size_is_that_of_all_parts(lepton, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path))
    for number in (1, 2):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(b"GGUF" * number)
    told = json.loads(lepton("pull", "http://x/m-00001-of-00002.gguf", "--offline", "--json")[1])
    assert told["bytes"] == 12


def test_ctrl_c_ends_with_130_and_tells_how_to_go_on(lepton, hub, monkeypatch):
    hub.stall = threading.Event()
    monkeypatch.setattr(pull_bar.PullBar, "_progress", interrupt)
    code, out, err = lepton("pull", "smollm2-135m")
    assert (code, out) == (130, "") and "the same command continues" in err


def interrupt(bar, event):
    if event.done:
        raise KeyboardInterrupt


def test_after_kill_9_the_same_command_continues(lepton, hub, tmp_path):
    hub.stall = threading.Event()
    child = subprocess.Popen(
        [sys.executable, "-m", "lepton_cli", "pull", "smollm2-135m"], stderr=subprocess.DEVNULL
    )
    size = len(hub.files[ALIAS.repo][ALIAS.file])
    while not (records := [*tmp_path.rglob("*.part.json")]) or not begun(records[0]):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not [*tmp_path.rglob("*.gguf")]
    hub.stall.set()
    hub.stall = None
    hub.requests.clear()
    assert lepton("pull", "smollm2-135m")[0] == 0
    [(first, last)] = hub.spans()
    assert (first > 0, last) == (True, size - 1)


def begun(record):
    try:
        return json.loads(record.read_bytes())["missing"][0][0] > 0
    except ValueError:  # it is just being written
        return False


# --- the offer


@pytest.fixture
def terminal(monkeypatch):
    """Answers questions; what was asked."""
    asked, answers = list[str](), list[bool]()

    def agrees(question):
        asked.append(question)
        return answers.pop()

    for module in (offer, removal):
        monkeypatch.setattr(module, "can_ask", lambda: True)
        monkeypatch.setattr(module, "agrees", agrees)
    monkeypatch.setattr(offer, "is_terminal", lambda stream: True)
    return asked, answers


@pytest.mark.parametrize("name", ["smollm2-135m", f"hf:{ALIAS.repo}", ALIAS.repo])
def test_run_offers_to_download_what_it_knows(lepton, terminal, name):
    asked, answers = terminal
    answers.append(True)
    code, out, _ = lepton("run", name, "hello", "-n", 3)
    assert code == 0 and out
    much = "105 MB" if name == "smollm2-135m" else "it"
    assert asked == [f"{name} is not on this disk: download {much}?"]


@pytest.mark.parametrize("command", ["run", "chat"])
def test_without_a_yes_nothing_is_downloaded(lepton, hub, terminal, command):
    asked, answers = terminal
    answers.append(False)
    code, _, err = lepton(command, "smollm2-135m", "hello")
    assert (code, len(asked), hub.requests) == (2, 1, [])
    assert "lepton pull smollm2-135m" in err


@pytest.mark.parametrize("command", ["run", "chat", "batch"])
def test_in_a_pipe_nobody_is_asked(lepton, hub, monkeypatch, command):
    monkeypatch.setattr(offer, "agrees", None)
    code, _, err = lepton(command, "smollm2-135m", "hello")
    assert (code, hub.requests) == (2, []) and "lepton pull smollm2-135m" in err


# --- removing


def test_a_removal_asks_and_tells_what_it_freed(lepton, terminal):
    asked, answers = terminal
    path = lepton("pull", "-q", "smollm2-135m")[1].strip()
    answers.append(False)
    assert lepton("models", "--remove", "smollm2-135m")[:2] == (0, "")
    assert os.path.exists(path)
    answers.append(True)
    code, out, _ = lepton("models", "--remove", "smollm2-135m")
    assert (code, out) == (0, "removed smollm2-135m: 3.39 MB freed\n")
    assert asked == [f"remove smollm2-135m (3.39 MB, {path})?"] * 2
    assert not os.path.lexists(path)


def test_a_removal_in_a_script_needs_yes(lepton):
    path = lepton("pull", "-q", "smollm2-135m")[1].strip()
    code, _, err = lepton("models", "--remove", "smollm2-135m")
    assert code == 2 and "--yes" in err and os.path.exists(path)
    assert lepton("models", "--remove", "smollm2-135m", "--yes")[0] == 0
    assert not os.path.lexists(path)


# --- progress


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_has_one_line_of_progress(capsys, monkeypatch, width):
    monkeypatch.setattr(status_line, "redraws", lambda stream: True)
    monkeypatch.setattr(status_line, "width_of", lambda stream: width)
    times = iter(range(100))
    bar = PullBar(clock=lambda: next(times))
    for done in (0, 10**7, 2 * 10**7):
        bar(Progress("some/long/name-Q4_K_M.gguf", done, 10**8))
    bar(Checking("some/long/name-Q4_K_M.gguf"))
    bar(Remark("a pause"))
    rows = capsys.readouterr().err.split(status_line.ERASE_LINE)
    assert rows[3].startswith("20% 20 MB of 100 MB, 10 MB/s, 0:08")
    assert width == 40 or "[####......" in rows[3]
    assert all(len(row) <= width for row in rows)
    assert rows[-1] == "lepton: note: a pause\n"


def test_a_log_has_a_line_now_and_then(capsys):
    now = [0.0]
    bar = PullBar(clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        bar(Progress("m.gguf", second * 10**6, 10**8))
    assert capsys.readouterr().err.splitlines() == [
        "lepton: note: 10% 10 MB of 100 MB, 1 MB/s, 1:30 left  m.gguf",
        "lepton: note: 20% 20 MB of 100 MB, 1 MB/s, 1:20 left  m.gguf",
    ]


def test_the_line_needs_no_size_and_no_rate():
    assert progress_line(Progress("m", 5, None), 0, bar=True) == "5 B  m"
    assert progress_line(Progress("m", 5, 10), 0, bar=False) == "50% 5 B of 10 B  m"
    assert "1:00:10 left" in progress_line(Progress("m", 0, 3610), 1, bar=False)


def test_a_retry_is_told_on_a_line_of_its_own(lepton, hub, monkeypatch):
    waits = []
    monkeypatch.setattr(pull, "Transport", lambda *args: Transport(*args, waits.append))
    hub.faults["api/models"] = [Fault(429, {"Retry-After": "7"})]
    code, _, err = lepton("pull", "-q", "smollm2-135m")
    assert code == 0 and "answers 429" in err and "another try in 7 s" in err
    assert waits == [7.0]
