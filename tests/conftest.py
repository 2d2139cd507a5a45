"""Shared fixtures: real data if available, and a scratch home folder."""

import hashlib
import os
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from folders import ROOT, make_importable
from hypothesis import settings

make_importable()

# No deadline: a busy machine is not a fault. Derandomized: the same examples in each run.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

KEPT = {"LEPTON_TEST_DATA", "LEPTON_TEST_CACHE", "LEPTON_TEST_CARD"}
KEPT |= {"LEPTON_CPU"}  # the rung that is to be tested
ARCHIVES = {"archs", "archs2", "more", "quants", "vocabs", "templates"}


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Gives the folder of "models", "archs", "quants", "vocabs" or "templates", or skips."""

    def folder(name: str) -> Path:
        found = find_data(name)
        if found is None:
            pytest.skip(f"the test data {name} is not here (LEPTON_TEST_DATA names its folder)")
        return found

    return folder


def find_data(name: str) -> Path | None:
    """The folder of test data, or None."""
    chosen = os.environ.get("LEPTON_TEST_DATA")
    data = Path(chosen) if chosen else ROOT.parent / "shared" / "data"
    source = data / f"{name}.tar.xz" if name in ARCHIVES else data / name
    if not source.exists():
        return None
    return _unpacked(source) if name in ARCHIVES else source


def _unpacked(archive: Path) -> Path:
    """The archive's files, unpacked once for all runs into a folder named after its content."""
    key = hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"lepton-test-data-{key}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=tempfile.gettempdir()) as scratch:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            os.chmod(scratch, 0o755)
            Path(scratch).rename(target)
            Path(scratch).mkdir()  # for the context manager to remove
    inner = [path for path in target.iterdir() if path.is_dir()]
    return inner[0] if len(inner) == 1 else target


@pytest.fixture(scope="session", autouse=True)
def heeded_interrupts() -> None:
    """Restores signals that background jobs and nohup ignore, for the programs that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGQUIT"):  # Windows has neither
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> None:
    """A home folder of this process's own; compiled kernels are shared by all tests of a run.

    LEPTON_TEST_CACHE: those of a test run that starts this one are shared too.
    """
    home = tmp_path_factory.mktemp("home")
    one_of_several = hasattr(pytestconfig, "workerinput")  # as pytest-xdist marks its processes
    run = home.parents[1] if one_of_several else home
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(home)
    for name in list(os.environ):
        if name.startswith(("XDG_", "LEPTON_", "HF_", "OLLAMA_")) and name not in KEPT:
            del os.environ[name]
    os.environ["XDG_CACHE_HOME"] = os.environ.get("LEPTON_TEST_CACHE", str(run / ".cache"))


@pytest.fixture(scope="session", autouse=True)
def shared_compilers(own_home: None) -> Iterator[None]:
    """Kernels that tests of one process compile come from the same compiler processes."""
    from lasting_compilers import lasting_compilers  # importable only now

    with lasting_compilers():
        yield


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws from test_operators does not depend on the tests before it."""
    operators = sys.modules.get("test_operators")
    if operators is not None:
        operators.RANDOM.bit_generator.state = operators.START
