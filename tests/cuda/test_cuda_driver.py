"""The driver of a real card, end to end without one: on a stub libcuda.so.1 that gcc compiles."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_claims import CLAIMS
from folders import FOLDERS, ROOT, TESTS

SECONDS = 120
LOAD = "import ctypes; ctypes.CDLL('libcuda.so.1')"


def has_bindings() -> bool:
    return bool(importlib.util.find_spec("cuda") and importlib.util.find_spec("cuda.bindings"))


@pytest.fixture(scope="session")
def stub(tmp_path_factory) -> Path:
    """The folder with the stub."""
    if not has_bindings():
        pytest.skip("cuda-bindings is not installed")
    if sys.platform != "linux" or not shutil.which("gcc"):
        pytest.skip("the stub of the NVIDIA driver needs Linux and gcc")
    folder = tmp_path_factory.mktemp("cuda")
    source, library = TESTS / "emulator" / "stub_cuda.c", folder / "libcuda.so.1"
    flags = ["-std=gnu11", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(source)], check=True)
    return folder


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *arguments]
    variables = (
        os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *FOLDERS]))} | environment
    )
    return subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=SECONDS
    )


@pytest.mark.parametrize("claim", CLAIMS)
def test_on_a_stub(claim, stub):
    done = run(["-m", "cuda_claims", claim], LD_LIBRARY_PATH=str(stub))
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_an_nvidia_driver_the_error_says_so():
    if not has_bindings():
        pytest.skip("cuda-bindings is not installed")
    if sys.platform != "linux" or not run(["-c", LOAD]).returncode:
        pytest.skip("there may be an NVIDIA driver")
    done = run(["-c", "from ops.cuda.device.driver import open_driver; open_driver(0)"])
    assert "LeptonError: the NVIDIA driver is missing" in done.stderr
