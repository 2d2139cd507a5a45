"""Finding a card: each thing that may be missing has its own words and its own cure."""

import ctypes
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from ops.cuda.device import probe
from ops.cuda.device.probe import Card, Missing, find_card, load_driver

GIB = 1 << 30
ADA = ("NVIDIA GeForce RTX 4070", (8, 9), 12 * GIB)
PASCAL = ("NVIDIA GeForce GTX 1080", (6, 1), 8 * GIB)
BLACKWELL = ("NVIDIA GeForce RTX 5090", (12, 0), 32 * GIB)


@dataclass
class FakeDriver:
    """Answers as libcuda does: a CUresult, and the rest through pointers."""

    cards: tuple[tuple[str, tuple[int, int], int], ...] = (ADA,)
    version: int = 13000
    init: int = 0
    broken: str = ""  # the call that fails
    started: bool = False

    def _answer(self, call: str, out, value: int) -> int:
        assert self.started or call == "cuDriverGetVersion"
        if call == self.broken:
            return 999
        out._obj.value = value
        return 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        self.started = not self.init
        return self.init

    def cuDriverGetVersion(self, out) -> int:  # noqa: N802
        return self._answer("cuDriverGetVersion", out, self.version)

    def cuDeviceGetCount(self, out) -> int:  # noqa: N802
        return self._answer("cuDeviceGetCount", out, len(self.cards))

    def cuDeviceGet(self, out, index: int) -> int:  # noqa: N802
        return self._answer("cuDeviceGet", out, 70 + index)

    def cuDeviceGetName(self, out, size: int, device: int) -> int:  # noqa: N802
        out.value = self.cards[device - 70][0].encode()[: size - 1]
        return 0

    def cuDeviceGetAttribute(self, out, attribute: int, device: int) -> int:  # noqa: N802
        value = self.cards[device - 70][1][{75: 0, 76: 1}[attribute]]
        return self._answer("cuDeviceGetAttribute", out, value)

    def cuDeviceTotalMem_v2(self, out, device: int) -> int:  # noqa: N802
        return self._answer("cuDeviceTotalMem_v2", out, self.cards[device - 70][2])


def find(driver: FakeDriver | None, packages: int | None = 13, **environment: str):
    return find_card(lambda: driver, lambda: packages, environment, "linux")


def test_a_usable_card_is_found_with_all_that_is_asked_of_it():
    card = find(FakeDriver())
    assert card == Card(0, "NVIDIA GeForce RTX 4070", (8, 9), 13000, 12 * GIB)
    assert str(card) == "NVIDIA GeForce RTX 4070, compute 8.9, driver 13.0"


def test_the_first_card_that_can_be_used_is_taken():
    card = find(FakeDriver((PASCAL, ADA, BLACKWELL)))
    assert isinstance(card, Card)
    assert (card.index, card.name) == (1, ADA[0])


@pytest.mark.parametrize(
    ("driver", "packages", "reason", "cure"),
    [
        (None, 13, "no NVIDIA driver was found", "install NVIDIA's driver, 580 or newer"),
        (FakeDriver(init=100), 13, "finds no card (CUresult 100)", "nvidia-smi"),
        (FakeDriver(cards=()), 13, "finds no card (CUresult 100)", "--gpus all"),
        (FakeDriver(init=803), 13, "cuInit failed (CUresult 803)", "restart the machine"),
        (FakeDriver(init=999), 13, "cuInit failed (CUresult 999)", "nvidia-smi"),
        (FakeDriver(broken="cuDeviceGet"), 13, "cuDeviceGet failed (CUresult 999)", "nvidia-smi"),
        (
            FakeDriver((PASCAL,)),
            13,
            "NVIDIA GeForce GTX 1080 (compute 6.1) is not supported "
            "(7.5 or newer is needed, an RTX 20xx for instance)",
            "--backend cpu",
        ),
        (FakeDriver(version=11040), 13, "runs CUDA 11.4, 12.0 or newer", "to 580 or newer"),
        (
            FakeDriver(version=12040),
            13,
            "runs CUDA 12.4, the installed GPU support needs 13.0",
            "pip install 'lepton-cli[cuda12]', or update the driver to 580 or newer",
        ),
        (
            FakeDriver(),
            None,
            "NVIDIA GeForce RTX 4070 found, but GPU support is not installed",
            "pip install 'lepton-cli[cuda]'",
        ),
        (
            FakeDriver(version=12080),
            None,
            "NVIDIA GeForce RTX 4070 found, but GPU support is not installed",
            "pip install 'lepton-cli[cuda12]'",
        ),
    ],
)
def test_what_is_missing_is_told_with_its_cure(driver, packages, reason, cure):
    missing = find(driver, packages)
    assert isinstance(missing, Missing)
    assert reason in missing.reason
    assert cure in missing.cure
    assert missing.nvidia == (driver is not None)


@pytest.mark.parametrize(("version", "packages"), [(12040, 12), (13000, 12), (14010, 13)])
def test_a_newer_driver_runs_older_packages(version, packages):
    assert isinstance(find(FakeDriver(version=version), packages), Card)


@pytest.mark.parametrize("driver", [FakeDriver(init=100), FakeDriver(cards=())])
@pytest.mark.parametrize("value", ["", "-1"])
def test_cards_that_a_variable_hides_are_told_so(driver, value):
    missing = find(driver, CUDA_VISIBLE_DEVICES=value)
    assert missing == Missing(
        f"CUDA_VISIBLE_DEVICES={value!r} hides every card", "unset it, or name a card in it"
    )


def test_a_driver_without_a_function_is_too_old():
    missing = find_card(lambda: object(), lambda: 13, {})
    assert isinstance(missing, Missing)
    assert "cuDriverGetVersion" in missing.reason and "580" in missing.cure


def test_nobody_is_sent_to_find_a_driver_for_macos():
    missing = find_card(lambda: None, lambda: 13, {}, "darwin")
    assert isinstance(missing, Missing)
    assert "install" not in missing.cure and "macOS" in missing.cure


def test_packages_are_asked_for_only_where_there_is_a_card():
    def never() -> int:
        raise AssertionError

    assert isinstance(find_card(lambda: None, never, {}), Missing)
    assert isinstance(find_card(lambda: FakeDriver((PASCAL,)), never, {}), Missing)


def test_without_the_packages_none_are_installed(monkeypatch):
    monkeypatch.setattr(probe, "find_spec", lambda name: None)
    assert probe.installed_packages() is None


def test_a_missing_library_is_no_driver(monkeypatch):
    def fail(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", fail)
    assert load_driver() is None


def test_the_probe_imports_no_package_of_cuda():
    script = (
        "import sys; from ops.cuda.device.probe import find_card; find_card(); "
        "print({'numba', 'cuda.bindings', 'cuda.core', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


STUB = """
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { return flags; }
int cuDriverGetVersion(int *version) { *version = 12090; return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = index + 40; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 40 ? "Old" : "New", size);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? (device == 40 ? 6 : 9) : attribute == 76 ? 0 : -1;
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = (size_t)device << 32;
    return 0;
}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shared library of Unix")
def test_a_real_library_is_called_as_its_functions_are_declared(tmp_path):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build a stub of the driver")
    source, library = tmp_path / "stub.c", tmp_path / "libcuda.so.1"
    source.write_text(STUB)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    card = find_card(lambda: ctypes.CDLL(str(library)), lambda: 12, {})
    assert card == Card(1, "New", (9, 0), 12090, 41 << 32)
