"""The wheel that carries object code: installed, its first run compiles nothing."""

import importlib.util
import os
import platform
import runpy
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from passes import kernel_folder

from lepton_cli.__main__ import run as lepton
from ops.compiled.kernel_folder import pack
from ops.cpu import compiling
from ops.cpu.compiling import compile_kernels
from ops.cpu.instruction_sets.rung import Rung
from ops.cpu.kernel_folders import cached_kernels
from ops.cpu.objects import ObjectStore
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung

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
HELLO = ["run", "builtin", "hi", "-n", "3", "--temp", "0", "--no-stdin"]
FIRST_RUN = f"""
import sys
from lepton_cli.__main__ import run
code = run({HELLO})
print(sys.modules["ops"].__file__, "numba" in sys.modules, file=sys.stderr)
sys.exit(code)
"""
PREPARE = """
import sys
from pathlib import Path
from ops.cpu.objects import ObjectStore
ObjectStore(Path(sys.argv[1]), lambda compiling: None).prepare(sys.argv[2:])
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
def kernels() -> list[str]:
    """What the built-in model needs: that which its run asks for."""
    asked, prepare = set[str](), ObjectStore.prepare

    def noted(store: ObjectStore, names: Iterable[str]) -> None:
        wanted = list(names)
        asked.update(wanted)
        prepare(store, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "prepare", noted)
        assert lepton(HELLO) == 0
    return sorted(asked)


def mostly_compiled_before(
    names: Sequence[str], rung: Rung, processes: int
) -> Iterator[tuple[str, bytes]]:
    """Kernels as `compile_kernels` gives them: the tests' run has compiled all but one already."""
    yield from compile_kernels(names[:1], rung, processes)
    for name in names[1:]:
        kernel = cached_kernels(kernel_folder(), rung).read(name)
        assert kernel is not None
        yield name, pack(*kernel)


@pytest.fixture(scope="module")
def wheel(folder, kernels) -> Path:
    rung = choose_rung(host_features(), os.environ).name
    wanted = [word for kernel in kernels for word in ("--kernel", kernel)]
    tool = str(ROOT / "tools" / "build_wheel.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "compile_kernels", mostly_compiled_before)
        patch.setattr(sys, "argv", [tool, "--out", str(folder / "dist"), "--rung", rung, *wanted])
        runpy.run_path(tool, run_name="__main__")
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
    two = kernels[-2:]
    try:
        run("-P", "-c", PREPARE, str(cache), *two, cwd=tmp_path, PYTHONPATH=paths)
    finally:
        source.write_bytes(whole)
    assert sorted(path.stem for path in cache.rglob("*.kernel")) == two


def test_the_wheel_says_what_it_is(wheel, kernels):
    assert wheel.name.endswith("-py3-none-manylinux_2_17_x86_64.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [tags] = [name for name in names if name.endswith(".dist-info/WHEEL")]
        assert "Tag: py3-none-manylinux_2_17_x86_64" in archive.read(tags).decode()
    objects = sorted(Path(name).stem for name in names if name.endswith(".kernel"))
    assert objects == kernels
    assert names[-1].endswith(".dist-info/RECORD")
