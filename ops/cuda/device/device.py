"""What the backend needs of a card: memory, kernels, launches, graphs. `driver` is the real one.

Addresses are plain numbers, so the same host code runs on an emulated card in the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Memory = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch: blocks along x, y, z; threads per block; bytes of shared memory.

    Operands are passed by the kernel's signature: int64 or int32 for whole numbers, else float32.
    """

    kernel: str
    grid: tuple[int, int, int]
    threads: int
    operands: tuple[int | float, ...]
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Code:
    """A compiled kernel: machine code for one architecture (a cubin), the entry's name in it.

    `signature` has one letter per operand: "l" int64 (also addresses), "i" int32, "f" float32.
    """

    binary: bytes
    entry: str
    signature: str


class Graph(Protocol):
    """Launches captured once and replayed together."""

    def replay(self) -> None:
        """Enqueues them after all earlier work."""

    def close(self) -> None: ...


class Device(Protocol):
    """One card. All work is enqueued in order; `download` and `synchronize` wait for it.

    Every call may raise OutOfMemoryError (no memory on the card) or LeptonError (a lost card, a
    kernel that failed): then the card's contents are lost, the caller's are not.
    """

    @property
    def name(self) -> str: ...
    @property
    def capability(self) -> tuple[int, int]:
        """(8, 9) for sm_89."""

    def memory(self) -> tuple[int, int]:
        """Free and total bytes."""

    def allocate(self, size: int) -> int:
        """The address of `size` new bytes, aligned to 256; their content is undefined."""

    def free(self, address: int) -> None: ...

    def clear(self, address: int, size: int) -> None:
        """Sets bytes to zero."""

    def upload(self, address: int, source: Memory) -> None:
        """Host to card; the source may be modified once this returns."""

    def download(self, address: int, target: Memory) -> None:
        """Card to host, after all earlier work is done."""

    def copy(self, source: int, target: int, size: int) -> None:
        """Card to card."""

    def load(self, name: str, code: Code) -> None:
        """Loads a kernel, so that it can be launched by name."""

    def launch(self, launch: Launch) -> None: ...

    def capture(self, launches: Sequence[Launch]) -> Graph: ...

    def synchronize(self) -> None:
        """Waits until all enqueued work is done."""

    def close(self) -> None:
        """Frees everything; may be called again."""
