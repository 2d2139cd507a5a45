"""Detects an NVIDIA card, or why there is none to use, through the driver alone.

The driver's library is called through ctypes: no package is imported, and without a
driver nothing is done, so every start can afford it.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

OLDEST_CAPABILITY = (7, 5)
OLDEST_DRIVER = 12000
NEWEST_PACKAGES = 13  # the major version of CUDA that the extra `cuda` installs
NAMED_BY = "CUDA_VISIBLE_DEVICES"

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
CURES = {  # results of cuInit
    34: "what was found is the toolkit's stub: take its folder out of LD_LIBRARY_PATH",
    NO_DEVICE: "`nvidia-smi` should list it; start a container with --gpus all",
    802: "the machine's fabric is not ready: start nvidia-fabricmanager",
    803: "driver and library differ since an update: restart the machine",
}
NEWER_DRIVER = "update the driver to 580 or newer"


@dataclass(frozen=True, slots=True)
class Card:
    """A card that can be used. `driver` is the newest CUDA that its driver runs: 13000 for 13.0."""

    index: int
    name: str
    capability: tuple[int, int]
    driver: int
    total: int  # bytes of memory

    def __str__(self) -> str:
        return f"{self.name}, compute {self.compute}, driver {cuda_version(self.driver)}"

    @property
    def compute(self) -> str:
        return "{}.{}".format(*self.capability)

    @property
    def arithmetic(self) -> str:
        """Identifies the card's arithmetic: equal strings give equal results."""
        return f"cuda.{self.compute}.{'-'.join(self.name.split())}"

    @property
    def target(self) -> str:
        """The compiler's name of the architecture: sm_89."""
        return "sm_{}{}".format(*self.capability)


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no card to use, and what to do. `nvidia`: a driver or a card was found."""

    reason: str
    cure: str
    nvidia: bool = True


class Driver(Protocol):
    """The functions of libcuda that are used; each returns a CUresult, 0 for success."""

    @property
    def cuInit(self) -> Callable[[int], int]: ...  # noqa: N802
    @property
    def cuDriverGetVersion(self) -> Callable[[Any], int]: ...  # noqa: N802
    @property
    def cuDeviceGetCount(self) -> Callable[[Any], int]: ...  # noqa: N802
    @property
    def cuDeviceGet(self) -> Callable[[Any, int], int]: ...  # noqa: N802
    @property
    def cuDeviceGetName(self) -> Callable[[Any, int, int], int]: ...  # noqa: N802
    @property
    def cuDeviceGetAttribute(self) -> Callable[[Any, int, int], int]: ...  # noqa: N802
    @property
    def cuDeviceTotalMem_v2(self) -> Callable[[Any, int], int]: ...  # noqa: N802


class DriverError(Exception):
    """A call of the driver that failed, with its CUresult."""

    def __init__(self, call: str, result: int) -> None:
        super().__init__(f"{call} failed (CUresult {result})")
        self.result = result


def load_driver() -> Driver | None:
    """NVIDIA's driver, None where there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        library: Any = ctypes.CDLL(name)
    except OSError:
        return None
    return library  # type: ignore[no-any-return]


def installed_packages() -> int | None:
    """The major version of CUDA whose packages are installed, 12 or 13; None without them."""
    if not find_spec("numba_cuda") or not find_spec("cuda") or not find_spec("cuda.bindings"):
        return None
    from importlib.metadata import PackageNotFoundError, version  # for start-up time

    try:
        return int(version("cuda-bindings").partition(".")[0])
    except (PackageNotFoundError, ValueError):
        return None


def find_card(
    load: Callable[[], Driver | None] = load_driver,
    packages: Callable[[], int | None] = installed_packages,
    environment: Mapping[str, str] = os.environ,
    system: str = sys.platform,
) -> Card | Missing:
    """The first card that can be used, in the driver's order, or why none can."""
    driver = load()
    if driver is None:
        return _no_driver(system)
    try:
        version = _integer(driver, "cuDriverGetVersion")
        _call(driver, "cuInit", 0)
        cards = [_card(driver, n, version) for n in range(_integer(driver, "cuDeviceGetCount"))]
    except DriverError as error:
        return _failed(error, environment)
    except AttributeError as error:  # ctypes: the library lacks the function
        return Missing(f"the NVIDIA driver is too old or damaged ({error})", NEWER_DRIVER)
    if not cards:
        return _failed(DriverError("cuDeviceGetCount", NO_DEVICE), environment)
    usable = [card for card in cards if card.capability >= OLDEST_CAPABILITY]
    if not usable:
        return _too_old(cards[0])
    return _without_packages(usable[0], packages()) or usable[0]


def cuda_version(number: int) -> str:
    """13000 is 13.0, 12040 is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _no_driver(system: str) -> Missing:
    cure = "install NVIDIA's driver, 580 or newer, where there is a card"
    if system == "darwin":
        cure = "there is none for macOS: use --backend cpu"
    return Missing("no NVIDIA driver was found", cure, nvidia=False)


def _without_packages(card: Card, packages: int | None) -> Missing | None:
    """What the driver or the installed packages lack; None if nothing."""
    driver = f"the NVIDIA driver of {card.name} runs CUDA {cuda_version(card.driver)}"
    if card.driver < OLDEST_DRIVER:
        return Missing(f"{driver}, 12.0 or newer is needed", NEWER_DRIVER)
    extra = "cuda" if card.driver >= 1000 * NEWEST_PACKAGES else "cuda12"
    install = f"pip install 'lepton-cli[{extra}]'"
    if packages is None:
        return Missing(f"{card.name} found, but GPU support is not installed", install)
    if card.driver < 1000 * packages:
        reason = f"{driver}, the installed GPU support needs {packages}.0"
        return Missing(reason, f"{install}, or {NEWER_DRIVER}")
    return None


def _too_old(card: Card) -> Missing:
    needed = "{}.{} or newer is needed, an RTX 20xx for instance".format(*OLDEST_CAPABILITY)
    reason = f"{card.name} (compute {card.compute}) is not supported ({needed})"
    return Missing(reason, "use --backend cpu")


def _failed(error: DriverError, environment: Mapping[str, str]) -> Missing:
    named = environment.get(NAMED_BY)
    if error.result == NO_DEVICE and named is not None:
        return Missing(f"{NAMED_BY}={named!r} hides every card", "unset it, or name a card in it")
    cure = CURES.get(error.result, "`nvidia-smi` may tell more; a restart of the machine may help")
    if error.result == NO_DEVICE:
        return Missing(f"the NVIDIA driver finds no card (CUresult {NO_DEVICE})", cure)
    return Missing(f"the NVIDIA driver does not start: {error}", cure)


def _card(driver: Driver, index: int, version: int) -> Card:
    device, total, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    _call(driver, "cuDeviceGet", ctypes.byref(device), index)
    _call(driver, "cuDeviceGetName", name, len(name), device.value)
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(total), device.value)
    major, minor = (
        _integer(driver, "cuDeviceGetAttribute", attribute, device.value)
        for attribute in (MAJOR, MINOR)
    )
    text = name.value.decode(errors="replace")
    return Card(index, text, (major, minor), version, total.value)


def _integer(driver: Driver, call: str, *operands: int) -> int:
    out = ctypes.c_int()
    _call(driver, call, ctypes.byref(out), *operands)
    return out.value


def _call(driver: Driver, name: str, *operands: Any) -> None:
    """Raises DriverError."""
    result = getattr(driver, name)(*operands)
    if result:
        raise DriverError(name, result)
