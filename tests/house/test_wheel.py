"""The wheel that carries object code: installed, its first run compiles nothing."""

import importlib.util
import os
import platform
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("hatchling", "pip")

pytestmark = [
    pytest.mark.skipif(
        (sys.platform, platform.machine(), platform.libc_ver()[0]) != ("linux", "x86_64", "glibc"),
        reason="the wheel is for x86-64 Linux with glibc",
    ),
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in NEEDED),
        reason=f"needs {' and '.join(NEEDED)}, of the extra dev",
    ),
]
FIRST_RUN = """
import sys
from lepton_cli.__main__ import run
code = run(["run", "builtin", "hi", "-n", "3", "--temp", "0", "--no-stdin"])
print(sys.modules["ops"].__file__, "numba" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, *command]
    environment = {**os.environ, **variables}
    done = subprocess.run(whole, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def libraries() -> str:
    """What Lepton needs, without the Lepton that is being tested."""
    return sysconfig.get_paths()["purelib"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("wheel")


@pytest.fixture(scope="module")
def kernels(folder) -> list[str]:
    """What the built-in model needs: that which its first run without a cache compiles."""
    cache = folder / "cache"
    paths = os.pathsep.join([str(ROOT), *sys.path])
    run("-c", FIRST_RUN, cwd=folder, XDG_CACHE_HOME=str(cache), PYTHONPATH=paths)
    return sorted(path.stem for path in cache.rglob("*.kernel"))


@pytest.fixture(scope="module")
def wheel(folder, kernels) -> Path:
    rung = next((folder / "cache").rglob("*.kernel")).parent.name.partition("-")[0]
    wanted = [word for kernel in kernels for word in ("--kernel", kernel)]
    paths = os.pathsep.join([str(ROOT), *sys.path])
    tool = str(ROOT / "tools" / "build_wheel.py")
    out = ("--out", str(folder / "dist"), "--rung", rung)
    run(tool, *out, *wanted, cwd=folder, PYTHONPATH=paths)
    [made] = (folder / "dist").iterdir()
    return made


@pytest.fixture(scope="module")
def installed(folder, wheel) -> Path:
    """Empty but for the wheel. pip checks its tags, its record and every hash."""
    site = folder / "site"
    how = ("--no-deps", "--no-index", "--no-compile", "--quiet", "--target", str(site))
    run("-m", "pip", "install", *how, str(wheel), cwd=folder)
    return site


def test_the_first_run_of_the_installed_wheel_compiles_nothing(installed, tmp_path):
    cache, paths = tmp_path / "cache", os.pathsep.join([str(installed), libraries()])
    done = run("-P", "-c", FIRST_RUN, cwd=tmp_path, XDG_CACHE_HOME=str(cache), PYTHONPATH=paths)
    assert done.stdout == "Hello! I\n"
    assert done.stderr == f"{installed / 'ops' / '__init__.py'} False\n"
    assert not cache.exists()


def test_objects_of_other_sources_are_ignored(installed, kernels, tmp_path):
    source = installed / "ops" / "cpu" / "kernels" / "replay.py"
    whole = source.read_bytes()
    source.write_bytes(whole + b"\n# another version\n")
    cache, paths = tmp_path / "cache", os.pathsep.join([str(installed), libraries()])
    try:
        run("-P", "-c", FIRST_RUN, cwd=tmp_path, XDG_CACHE_HOME=str(cache), PYTHONPATH=paths)
    finally:
        source.write_bytes(whole)
    assert sorted(path.stem for path in cache.rglob("*.kernel")) == kernels


def test_the_wheel_says_what_it_is(wheel, kernels):
    assert wheel.name.endswith("-py3-none-manylinux_2_17_x86_64.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [tags] = [name for name in names if name.endswith(".dist-info/WHEEL")]
        assert "Tag: py3-none-manylinux_2_17_x86_64" in archive.read(tags).decode()
    objects = sorted(Path(name).stem for name in names if name.endswith(".kernel"))
    assert objects == kernels
    assert names[-1].endswith(".dist-info/RECORD")
