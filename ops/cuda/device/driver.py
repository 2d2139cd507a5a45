"""The `Device` on NVIDIA's driver, through cuda-bindings 12 or 13.

Imported only where a card is opened. One non-blocking stream carries everything, in order.
"""

import contextlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cuda.bindings import driver as cuda

from ops.cuda.device.capture import CapturedGraph, capture
from ops.cuda.device.card import Card
from ops.cuda.device.device import Code, Launch, Memory
from ops.cuda.device.failures import mebibytes
from ops.cuda.device.loaded import LoadedKernel
from ops.cuda.device.staging import Bytes, Staging
from ops.cuda.device.timing import Events
from quant.errors import LeptonError

EAGER_LOADING = 12040  # the first driver version with cuFuncLoad
NAME_BYTES = 256
SHARED = cuda.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


def open_driver(index: int) -> "Driver":
    """The card of this number, from 0.

    Raises UsageError where there is no such card, LeptonError where CUDA cannot be used.
    """
    card = Card(index)
    try:
        return Driver(card)
    except BaseException:
        card.close()
        raise


class Driver:
    """See `ops.cuda.device.device.Device`. Thread-safe: calls are serialised."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._memory: set[int] = set()  # addresses
        self._kernels: dict[str, LoadedKernel] = {}
        self._modules: list[Any] = []
        self._graphs: list[CapturedGraph] = []
        with card:
            self.name = self._name()
            major = self._attribute("COMPUTE_CAPABILITY_MAJOR")
            self.capability = major, self._attribute("COMPUTE_CAPABILITY_MINOR")
            self._version = int(card.call("ask for the version", cuda.cuDriverGetVersion))
            flags = int(cuda.CUstream_flags.CU_STREAM_NON_BLOCKING)
            self._stream = card.call("create a stream", cuda.cuStreamCreate, flags)
            self._staging = Staging(card, self._stream)

    def _name(self) -> str:
        raw: bytes = self._card.call(
            "tell its name", cuda.cuDeviceGetName, NAME_BYTES, self._card.device
        )
        return raw.split(b"\0")[0].decode(errors="replace")

    def _attribute(self, name: str) -> int:
        attribute = getattr(cuda.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
        doing = "describe itself"
        return int(self._card.call(doing, cuda.cuDeviceGetAttribute, attribute, self._card.device))

    @property
    def driver_version(self) -> tuple[int, int]:
        """The newest CUDA version that the driver knows: (13, 0)."""
        return self._version // 1000, self._version % 1000 // 10

    @property
    def uuid(self) -> str:
        """As nvidia-smi writes it: GPU-, and a UUID."""
        with self._card:
            raw = self._card.call("tell its UUID", cuda.cuDeviceGetUuid, self._card.device)
        return f"GPU-{uuid.UUID(bytes=bytes(raw.bytes))}"

    def memory(self) -> tuple[int, int]:
        with self._card:
            free, total = self._card.call("tell its memory", cuda.cuMemGetInfo)
        return int(free), int(total)

    def allocate(self, size: int) -> int:
        with self._card:
            doing = f"allocate {mebibytes(size)}"
            address = int(self._card.call(doing, cuda.cuMemAlloc, max(size, 1)))
            self._memory.add(address)
        return address

    def free(self, address: int) -> None:
        """Waits for all enqueued work. Does nothing when the card is lost or closed."""
        if self._card.ended:
            return
        with self._card:
            self._memory.remove(address)
            self._card.quietly(cuda.cuStreamSynchronize, self._stream)
            self._card.quietly(cuda.cuMemFree, address)

    def clear(self, address: int, size: int) -> None:
        with self._card:
            if size:
                self._enqueue("clear memory", cuda.cuMemsetD8Async, address, 0, size)

    def upload(self, address: int, source: Memory) -> None:
        with self._card:
            self._staging.upload(address, _bytes(np.ascontiguousarray(source)))

    def download(self, address: int, target: Memory) -> None:
        """`target` is contiguous."""
        assert target.flags.c_contiguous
        with self._card:
            self._staging.download(address, _bytes(target))

    def copy(self, source: int, target: int, size: int) -> None:
        with self._card:
            if size:
                self._enqueue("copy memory", cuda.cuMemcpyDtoDAsync, target, source, size)

    def _enqueue(self, doing: str, function: Callable[..., Any], *operands: Any) -> None:
        self._card.call(doing, function, *operands, self._stream)

    def load(self, name: str, code: Code) -> None:
        """Replaces a kernel of the same name; graphs keep the one that they captured."""
        with self._card:
            doing = f"load the kernel {name}"
            module = self._card.call(doing, cuda.cuModuleLoadData, code.binary)
            self._modules.append(module)
            entry = code.entry.encode()
            function = self._card.call(doing, cuda.cuModuleGetFunction, module, entry)
            if (
                self._version >= EAGER_LOADING
            ):  # older drivers load it at its first launch, perhaps within a capture
                self._card.call(doing, cuda.cuFuncLoad, function)
            shared = int(self._card.call(doing, cuda.cuFuncGetAttribute, SHARED, function))
            self._kernels[name] = LoadedKernel(function, code, shared)

    def launch(self, launch: Launch) -> None:
        with self._card:
            self._admit(launch)
            self._start(launch)

    def _admit(self, launch: Launch) -> None:
        """Raises the kernel's limit of shared memory (by default 48 KiB) where needed."""
        kernel = self._kernels[launch.kernel]
        if launch.shared > kernel.shared:
            doing = f"give {launch.kernel} {launch.shared} bytes of shared memory"
            function = kernel.function
            self._card.call(doing, cuda.cuFuncSetAttribute, function, SHARED, launch.shared)
            kernel.shared = launch.shared

    def _start(self, launch: Launch) -> None:
        kernel = self._kernels[launch.kernel]
        self._card.call(
            f"start the kernel {launch.kernel}",
            cuda.cuLaunchKernel,
            kernel.function,
            *launch.grid,
            launch.threads,
            1,
            1,
            launch.shared,
            self._stream,
            kernel.pack(launch.operands),
            0,
        )

    def capture(self, launches: Sequence[Launch]) -> CapturedGraph:
        with self._card:
            for launch in launches:
                self._admit(launch)
            graph = capture(self._card, self._stream, lambda: self._start_all(launches))
            self._graphs = [*(one for one in self._graphs if not one.closed), graph]
        return graph

    def _start_all(self, launches: Sequence[Launch]) -> None:
        for launch in launches:
            self._start(launch)

    def synchronize(self) -> None:
        with self._card:
            self._enqueue("finish its work", cuda.cuStreamSynchronize)

    def elapsed(self, work: Callable[[], None]) -> float:
        """Seconds on the card's clock for what `work` enqueues, including waits for the host."""
        with self._card, Events(self._card, self._stream, 2) as events:
            events.record(0)
            work()
            events.record(1)
            return events.seconds()[0]

    def timed(self, launches: Sequence[Launch]) -> list[float]:
        """Seconds of each launch. Runs them once, as a graph, so that the host's speed is left out.

        The nodes that record events add about a microsecond to each.
        """
        with self._card, Events(self._card, self._stream, len(launches) + 1) as events:
            for launch in launches:
                self._admit(launch)

            def enqueue() -> None:
                events.record_in_graph(0)
                for number, launch in enumerate(launches):
                    self._start(launch)
                    events.record_in_graph(number + 1)

            with contextlib.closing(capture(self._card, self._stream, enqueue)) as graph:
                graph.replay()
                return events.seconds()

    def close(self) -> None:
        """Frees everything, graphs too; does nothing if the card is lost, closed, or forked."""
        with contextlib.suppress(LeptonError), self._card:
            self._free_all()
        self._card.close()

    def _free_all(self) -> None:
        self._card.quietly(cuda.cuStreamSynchronize, self._stream)
        for graph in self._graphs:
            graph.close()
        for address in self._memory:
            self._card.quietly(cuda.cuMemFree, address)
        self._staging.close()
        for module in self._modules:
            self._card.quietly(cuda.cuModuleUnload, module)
        self._card.quietly(cuda.cuStreamDestroy, self._stream)


def _bytes(array: Memory) -> Bytes:
    """The same memory as bytes; the array is contiguous."""
    flat: Bytes = array.reshape(-1).view(np.uint8)
    return flat
