"""`lepton batch --cluster`: two workers on loopback say what one machine says, whatever happens."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lepton_cli.__main__ import run
from lepton_cli.engine.loading.adapters import AdapterFile
from lepton_cli.engine.loading.plan import LoadOptions
from quant.errors import UsageError

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "lepton_cli" / "data" / "builtin.gguf"
WAIT = 120.0  # seconds, on a machine that does much else
ROWS = [{"id": i, "prompt": f"Tell me a story about {i % 7} cats."} for i in range(60)]
LONG = ("-n", "60", "--ignore-eos")

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None or sys.platform == "win32",
    reason="needs Dask's distributed, and POSIX signals",
)


class Cluster:
    """A scheduler and its workers, processes of their own; `dask` starts one more."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, list[subprocess.Popen[bytes]]()
        self.scheduler = self.start_scheduler("0")
        until(lambda: (folder / "at.json").exists() and (folder / "at.json").stat().st_size > 0)
        self.address = json.loads((folder / "at.json").read_text())["address"]

    def start_scheduler(self, port: str) -> subprocess.Popen[bytes]:
        here = ("--host", "127.0.0.1", "--port", port, "--scheduler-file", "at.json")
        return self.dask("scheduler", *here)

    def restart_scheduler(self) -> None:
        """At the same address; the workers end with the old one."""
        self.kill(*self.processes)
        self.scheduler = self.start_scheduler(self.address.rpartition(":")[2])

    def kill_workers(self) -> None:
        self.kill(*(one for one in self.processes if one is not self.scheduler))

    def kill(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            process.kill()
            process.wait()
            self.processes.remove(process)

    def worker(self, **more: str) -> subprocess.Popen[bytes]:
        here = ("--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", "--local-directory", ".")
        before = self.workers()
        process = self.dask("worker", self.address, *here, **more)
        until(lambda: self.workers() > before)
        return process

    def workers(self) -> int:
        """How many have told the scheduler of themselves."""
        return (self.folder / "log").read_text().count("Register worker")

    def dask(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env={**environment(), **more}, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def close(self) -> None:
        self.kill(*reversed(self.processes))


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def started(folder: Path, *args: str, model: str = "builtin") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lepton_cli", "batch", model, "rows.jsonl", *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment(), stdout=pipe, stderr=pipe)


def ended(folder: Path, *args: str, model: str = "builtin") -> tuple[int, bytes, str]:
    process = started(folder, *args, model=model)
    out, err = process.communicate(timeout=WAIT)
    return process.returncode, out, err.decode()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    dask = Cluster(tmp_path_factory.mktemp("dask"))
    try:
        dask.worker()
        yield dask
    finally:
        dask.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    texts = [json.dumps(row) for row in ROWS]
    (tmp_path / "rows.jsonl").write_text("\n".join([*texts[:3], "{bad", *texts[3:]]) + "\n")
    return tmp_path


@pytest.fixture
def begin(cluster, tmp_path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a batch of LONG on the cluster, in a folder of that name."""
    processes = []

    def begin(name: str) -> subprocess.Popen[bytes]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        there = ("--cluster", cluster.address, "-np", "4")
        processes.append(started(folder, *LONG, *there, "-o", "out.jsonl"))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture
def begun(begin, tmp_path) -> tuple[subprocess.Popen[bytes], Path]:
    """A batch that has answered some of its rows, and its results."""
    process, results = begin("one"), tmp_path / "one" / "out.jsonl"
    until(lambda: lines(results) > 0 or process.poll() is not None)
    return process, results


@pytest.fixture
def batch(folder, monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """`lepton batch` on the folder's rows, in this process: its exit code, stdout and stderr."""

    def batch(*args: str, model: str = "builtin") -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        code = run(["batch", model, "rows.jsonl", *args])
        return code, *capfd.readouterr()

    return batch


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> bytes:
    """Of LONG, on this machine alone."""
    path = tmp_path_factory.mktemp("alone")
    (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    code, out, err = ended(path, *LONG)
    assert code == 0, err
    return out


def told(batch: subprocess.Popen[bytes], text: str) -> None:
    """Waits for a line on stderr."""
    assert any(text in line.decode() for line in batch.stderr), f"it ended without: {text}"


def finished(batch: subprocess.Popen[bytes], results: Path) -> bytes:
    _, err = batch.communicate(timeout=WAIT)
    assert batch.returncode == 0, err.decode()
    return results.read_bytes()


@needs_dask
def test_a_worker_that_is_killed_costs_nothing_but_time(cluster, request, expected):
    doomed = cluster.worker()
    batch, results = request.getfixturevalue("begun")
    cluster.kill(doomed)
    assert 0 < lines(results) < len(ROWS)
    assert finished(batch, results) == expected


@needs_dask
def test_all_workers_are_killed_and_another_joins(cluster, begun, expected):
    batch, results = begun
    cluster.kill_workers()
    assert 0 < lines(results) < len(ROWS)
    told(batch, f"no worker: waiting at most 60 s; start one: dask worker {cluster.address}")
    cluster.worker()
    told(batch, "the cluster has a worker again")
    assert finished(batch, results) == expected


@needs_dask
def test_the_scheduler_is_killed_and_restarted(cluster, begun, expected):
    batch, results = begun
    cluster.kill(cluster.scheduler)
    assert 0 < lines(results) < len(ROWS)
    told(
        batch,
        "the cluster has no scheduler: waiting at most 60 s; start one: dask scheduler --port ",
    )
    cluster.restart_scheduler()
    cluster.worker()
    assert finished(batch, results) == expected


@needs_dask
def test_a_batch_is_killed_and_resumed_beside_another(begin, tmp_path, expected):
    other, killed = begin("other"), begin("killed")
    results = tmp_path / "killed" / "out.jsonl"
    until(lambda: lines(results) > 0 or killed.poll() is not None)
    killed.kill()
    killed.wait()
    assert 0 < lines(results) < len(ROWS)
    assert finished(begin("killed"), results) == expected
    assert finished(other, tmp_path / "other" / "out.jsonl") == expected


@needs_dask
def test_without_workers_for_a_while_it_ends_and_keeps_all(
    cluster, tmp_path, expected, monkeypatch, capfd
):
    monkeypatch.setattr("lepton_cli.engine.jobs.cluster.PATIENCE", 0.2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    results = tmp_path / "out.jsonl"
    words = ["batch", "builtin", "rows.jsonl", *LONG, "-o", "out.jsonl"]
    with ThreadPoolExecutor() as beside:

        def kill_workers_midway() -> None:
            until(lambda: lines(results) > 0)
            cluster.kill_workers()

        killing = beside.submit(kill_workers_midway)
        code = run([*words, "--cluster", cluster.address, "-np", "4"])
        killing.result()
        beside.submit(cluster.worker).result()  # for the other tests
    answered, err = lines(results), capfd.readouterr().err
    assert code == 1
    assert f"{len(ROWS)} rows: {answered} answered, 0 failed; " in err
    assert f"error: the cluster {cluster.address} had no worker for 0 s\n" in err
    assert f"start one: dask worker {cluster.address}; the same command continues from there" in err
    assert 0 < answered < len(ROWS)
    assert run(words) == 0
    assert results.read_bytes() == expected


@needs_dask
@pytest.mark.weekly
def test_workers_that_are_killed_again_and_again_cost_nothing_but_time(cluster, begun, expected):
    batch, results = begun
    for _ in range(8):
        cluster.kill_workers()
        cluster.worker()
        before = lines(results)
        until(lambda before=before: lines(results) > before or batch.poll() is not None)
    assert batch.poll() is None, "all kills came before the end"
    assert finished(batch, results) == expected


@needs_dask
@pytest.mark.parametrize("strikes", [1, 2])
def test_ctrl_c_and_the_rest_is_done_here(begun, expected, strikes):
    batch, results = begun
    for _ in range(strikes):
        batch.send_signal(signal.SIGINT)
        time.sleep(0.1)  # two that come together are one
    _, err = batch.communicate(timeout=WAIT)
    answered = lines(results)
    assert batch.returncode == 130, err.decode()
    assert f"{len(ROWS)} rows: {answered} answered, 0 failed; " in err.decode()
    assert 0 < answered < len(ROWS)
    assert ended(results.parent, *LONG, "-o", "out.jsonl")[0] == 0
    assert results.read_bytes() == expected


@needs_dask
def test_bad_rows_and_those_too_long_are_what_they_are_here(cluster, folder, batch):
    with (folder / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "x " * 5000}) + "\n")
        file.write(json.dumps({"prompt": "Yes?", "choices": ["yes", "no"]}) + "\n")
    here = batch("-n", "8")
    there = batch("-n", "8", "--cluster", cluster.address)
    assert (there[0], there[1]) == (1, here[1]), there[2]
    assert there[1].count('"context_overflow"') == 1


@needs_dask
def test_a_path_means_the_same_on_a_worker(cluster, folder, batch):
    shutil.copyfile(MODEL, folder / "own.gguf")
    code, out, err = batch("-n", "1", "--cluster", cluster.address, model="own.gguf")
    assert (code, out.count("\n")) == (1, len(ROWS) + 1), err


@needs_dask
def test_a_worker_without_the_model_is_named(cluster, folder, monkeypatch, batch):
    (folder / "models").mkdir()
    shutil.copyfile(MODEL, folder / "models" / "mine.gguf")
    monkeypatch.setenv("LLAMA_CACHE", str(folder / "models"))  # here, not there
    code, out, err = batch("--cluster", cluster.address, model="mine")
    assert (code, out) == (2, "")
    assert err.startswith("lepton: error: tcp://127.0.0.1:")
    assert "no model is called mine" in err


@needs_dask
def test_a_worker_refuses_another_model_of_the_same_name():
    from lepton_cli.engine.jobs.serving import probe

    with pytest.raises(UsageError, match="is not the same model file as"):
        probe(str(MODEL), "of another", LoadOptions("cpu"))


@needs_dask
def test_a_cluster_computes_on_cpus():
    from lepton_cli.engine.jobs.cluster import ClusterModel

    with pytest.raises(UsageError, match="computes on CPUs"):
        ClusterModel(None, str(MODEL), LoadOptions("cuda"))


@needs_dask
def test_adapters_stay_here():
    from lepton_cli.engine.jobs.cluster import ClusterModel

    used = LoadOptions(adapters=(AdapterFile(Path("a.gguf")),))
    with pytest.raises(UsageError, match="adapters do not run on a cluster"):
        ClusterModel(None, str(MODEL), used)  # type: ignore[arg-type]


@needs_dask
def test_workers_that_compute_differently_are_refused(cluster, batch):
    other = cluster.worker(LEPTON_CPU="generic")
    code, out, err = batch("--cluster", cluster.address)
    cluster.kill(other)
    if os.environ.get("LEPTON_CPU") == "generic":
        pytest.skip("all tests run on this rung")
    assert (code, out) == (2, "")
    assert "the workers compute differently: " in err
    assert "generic: tcp://127.0.0.1:" in err and "LEPTON_CPU" in err


@needs_dask
@pytest.mark.parametrize("address", ["", "nonsense", "http://127.0.0.1:80", "127.0.0.1:1"])
def test_a_cluster_that_does_not_exist_is_reported(folder, batch, monkeypatch, address):
    monkeypatch.setattr("lepton_cli.engine.jobs.connection.CONNECTING", 0.5)
    code, out, err = batch("-o", "out.jsonl", "--cluster", address)
    assert (code, out) == (2, "")
    assert ("is not an address" in err) != ("there is no Dask cluster at 127.0.0.1:1" in err)
    assert not (folder / "out.jsonl").exists()


@needs_dask
def test_a_cluster_without_workers_is_reported(folder, batch):
    alone = Cluster(folder)
    try:
        code, _, err = batch("--cluster", alone.address)
    finally:
        alone.close()
    assert code == 2
    assert f"dask worker {alone.address}" in err


@needs_dask
def test_a_process_with_another_lepton_or_none_is_named():
    from lepton_cli.engine.jobs.cluster import check_versions
    from lepton_cli.version import __version__

    check_versions({"tcp://a:1": __version__})
    with pytest.raises(UsageError, match=r"tcp://b:1 has Lepton 0\.0\.1, and this is") as refused:
        check_versions({"tcp://a:1": __version__, "tcp://b:1": "0.0.1"})
    assert f"lepton-cli[cluster]=={__version__}" in str(refused.value.hint)
    with pytest.raises(UsageError, match=r"tcp://b:1 has no Lepton .*lepton_cli"):
        check_versions({"tcp://b:1": ModuleNotFoundError("No module named 'lepton_cli'")})


def test_a_log_is_not_silently_left_out(folder, capsys):
    words = ["batch", "builtin", str(folder / "rows.jsonl"), "--cluster", "tcp://127.0.0.1:1"]
    assert run([*words, "--audit", str(folder / "log.jsonl")]) == 2
    assert "--audit cannot be used with --cluster" in capsys.readouterr().err


def test_without_dask_its_installation_is_reported(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setattr("lepton_cli.ui.commands.batch.find_spec", lambda name: None)
    assert run(["batch", "builtin", "rows.jsonl", "--cluster", "127.0.0.1:1"]) == 2
    assert "pip install 'lepton-cli[cluster]'" in capsys.readouterr().err
