"""This machine's card for tests: opened once a process, and lent to one test after the other."""

import functools
import os
import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from passes import kernel_folder

from ops.cuda.compile.codes import CodeStore
from ops.cuda.device.device import Launch
from ops.cuda.device.probe import Card, find_card

if TYPE_CHECKING:
    from ops.cuda.device.driver import Driver


class Loan:
    """The card for one test. It counts what the test holds; closing gives that back.

    All that is not here is the driver's own.
    """

    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self._held: dict[int, int] = {}
        self.graphs = 0
        self.close = weakref.finalize(self, _give_back, driver, self._held)

    def memory(self) -> tuple[int, int]:
        """As if nobody else had any."""
        _, total = self._driver.memory()
        return total - sum(self._held.values()), total

    def allocate(self, size: int) -> int:
        address = self._driver.allocate(size)
        self._held[address] = size
        return address

    def free(self, address: int) -> None:
        del self._held[address]
        self._driver.free(address)

    def capture(self, launches: Sequence[Launch]) -> Any:
        self.graphs += 1
        return self._driver.capture(launches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


def _give_back(driver: "Driver", held: dict[int, int]) -> None:
    for address in held:
        driver.free(address)
    held.clear()


class CompiledKernels:
    """A CodeStore that loads each kernel once."""

    def __init__(self, driver: "Driver") -> None:
        processes = os.cpu_count() or 1
        self._store = CodeStore(driver, kernel_folder(), processes, lambda compiling: None)
        self._loaded: set[str] = set()

    def prepare(self, names: Iterable[str]) -> None:
        wanted = [name for name in names if name not in self._loaded]
        self._store.prepare(wanted)
        self._loaded.update(wanted)


@functools.cache
def the_driver() -> "Driver":
    """Raises LeptonError."""
    from ops.cuda.device.driver import open_driver  # needs the extra

    found = find_card()
    assert isinstance(found, Card), f"{found.reason}: {found.cure}"
    return open_driver(found.index)


@functools.cache
def compiled_kernels() -> CompiledKernels:
    return CompiledKernels(the_driver())


def borrow() -> Loan:
    return Loan(the_driver())
