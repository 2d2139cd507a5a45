"""What `test_cuda_driver` claims of a card's driver; each runs in a process of its own.

`python -m cuda_claims CLAIM` with the stub of tests/emulator/stub_cuda.c as libcuda.so.1.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ops.cuda.device.device import Code, Device, Launch
from quant.errors import LeptonError, OutOfMemoryError, UsageError

Claim = Callable[["Stub"], None]
CLAIMS: dict[str, Claim] = {}
CALLBACK = ctypes.CFUNCTYPE(
    None,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_uint),
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.POINTER(ctypes.c_int64),
    ctypes.c_int,
)
COUNTED = (
    "allocations",
    "pinned",
    "streams",
    "events",
    "modules",
    "graphs",
    "executables",
    "contexts",
)
OUT_OF_MEMORY, LAUNCH_FAILED, ILLEGAL_ADDRESS = 2, 719, 700
MIXED = Code(b"stub mixed:lifil add:l other:i", "mixed", "lifil")
ADD = Code(MIXED.binary, "add", "l")
GRID = (3, 2, 1)


class Stub:
    """The stub driver's own calls, and the launches that reached it."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.launches: list[tuple[str, tuple[int, ...], int, int, list[int]]] = []
        self.run: Callable[[str, list[int]], None] = lambda entry, words: None
        self._callback = CALLBACK(self._launched)
        self.library.stub_callback(self._callback)
        self.library.stub_memory.argtypes = [ctypes.c_uint64] * 2

    def _launched(self, entry: bytes, grid: Any, threads: int, shared: int, words: Any, n: int):
        shape = tuple(grid[axis] for axis in range(3))
        self.launches.append((entry.decode(), shape, threads, shared, words[:n]))
        self.run(entry.decode(), words[:n])

    def fail(self, call: str, code: int, after: int = 0) -> None:
        """The call of this name fails, when it has succeeded `after` times more."""
        self.library.stub_fail(call.encode(), code, after)

    def held(self) -> dict[str, int]:
        counts = {name: self.library.stub_count(n) for n, name in enumerate(COUNTED)}
        return {name: count for name, count in counts.items() if count}

    def pending(self) -> int:
        return int(self.library.stub_pending())


def claim(function: Claim) -> Claim:
    CLAIMS[function.__name__] = function
    return function


def open_card(index: int = 0) -> Any:
    from ops.cuda.device.driver import open_driver

    return open_driver(index)


@contextlib.contextmanager
def raises(kind: type[LeptonError], *words: str, hint: str = ""):
    try:
        yield
    except LeptonError as error:
        assert type(error) is kind, repr(error)
        assert all(word in error.message for word in words), error.message
        assert hint in (error.hint or ""), error.hint
    else:
        raise AssertionError(f"no {kind.__name__}")


def noise(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@claim
def a_card_tells_what_it_is(stub: Stub) -> None:
    card: Device = open_card()
    assert (card.name, card.capability) == ("Stub GPU", (8, 9))
    assert card.memory() == (6 << 30, 8 << 30)
    assert open_card().driver_version == (13, 0)
    assert open_card().uuid == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"


@claim
def memory_comes_back_as_it_went(stub: Stub) -> None:
    card = open_card()
    for size in (1, 3, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (32 << 20) + 5):
        address, source = card.allocate(size), noise(size)
        assert address % 256 == 0
        card.upload(address, source)
        target = np.zeros(size, np.uint8)
        card.download(address, target)
        assert (source == target).all()
        card.free(address)
    assert stub.held()["pinned"] == 2 and "allocations" not in stub.held()


@claim
def more_than_both_buffers_travels_and_the_source_may_change_at_once(stub: Stub) -> None:
    card, size = open_card(), (100 << 20) + 12345
    address, source = card.allocate(size), noise(size)
    expected = source.copy()
    card.upload(address, source)
    assert stub.pending()  # some of it is still under way
    source[:] = 0
    target = np.zeros_like(source)
    card.download(address, target)
    assert (expected == target).all()


@claim
def many_small_uploads_wait_for_nothing_but_their_turn(stub: Stub) -> None:
    card = open_card()
    addresses = [card.allocate(4096) for _ in range(50)]
    for n, address in enumerate(addresses):
        before, row = stub.pending(), np.full(512, n, np.int64)
        card.upload(address, row)
        assert n >= 8 or stub.pending() == before + 2
        row[:] = -1
    for n, address in enumerate(addresses):
        row = np.zeros(512, np.int64)
        card.download(address, row)
        assert (row == n).all()


@claim
def arrays_of_any_shape_and_kind_travel(stub: Stub) -> None:
    card, address = open_card(), 0
    block = np.dtype([("d", np.float16), ("qs", np.uint8, 16)])
    read_only = np.arange(12, dtype=np.float32).reshape(3, 4)
    read_only.flags.writeable = False
    cases = (np.float32(1.5), read_only, read_only.T, np.zeros(5, block), np.zeros((0, 3)))
    for source in map(np.asarray, cases):
        address = card.allocate(source.nbytes)
        card.upload(address, source)
        target = np.ones(source.shape, source.dtype)
        card.download(address, target)
        assert target.tobytes() == source.tobytes()


@claim
def memory_is_cleared_and_copied_in_order(stub: Stub) -> None:
    card = open_card()
    one, two, target = card.allocate(1000), card.allocate(1000), np.empty(1000, np.uint8)
    card.upload(one, noise(1000))
    card.clear(one + 10, 500)
    card.copy(one + 5, two, 995)
    card.clear(two, 0), card.copy(one, two, 0)
    card.download(two, target)
    expected = noise(1000)
    expected[10:510] = 0
    assert (target[:995] == expected[5:]).all()


@claim
def a_launch_passes_its_operands_exactly(stub: Stub) -> None:
    card = open_card()
    card.load("mixed_q4", MIXED)
    words = (0x7FFF_1234_5678_9ABC, -7, 0.1, 0x7FFF_FFFF, -(1 << 62))
    card.launch(Launch("mixed_q4", GRID, 64, words, 1024))
    card.launch(Launch("mixed_q4", GRID, 64, (0, 0, float("-inf"), -1, np.int64(5)), 1024))
    card.synchronize()
    bits = np.array([0.1, -np.inf], np.float32).view(np.uint32).tolist()
    unsigned = 0xFFFF_FFFF
    assert stub.launches == [
        ("mixed", GRID, 64, 1024, [words[0], -7 & unsigned, bits[0], words[3], words[4]]),
        ("mixed", GRID, 64, 1024, [0, 0, bits[1], unsigned, 5]),
    ]


@claim
def a_kernel_may_take_no_operands(stub: Stub) -> None:
    card = open_card()
    card.load("empty", Code(b"stub empty:", "empty", ""))
    card.launch(Launch("empty", (1, 1, 1), 32, ()))
    card.synchronize()
    assert stub.launches == [("empty", (1, 1, 1), 32, 0, [])]


@claim
def much_shared_memory_is_asked_for(stub: Stub) -> None:
    card = open_card()
    card.load("mixed", MIXED)
    for shared in (48 << 10, 96 << 10, 64 << 10):
        card.launch(Launch("mixed", GRID, 64, (0, 0, 0.0, 0, 0), shared))
    card.capture([Launch("mixed", GRID, 64, (0, 0, 0.0, 0, 0), 99 << 10)]).replay()
    card.synchronize()
    assert [launch[3] >> 10 for launch in stub.launches] == [48, 96, 64, 99]
    with raises(LeptonError, "give mixed 102400 bytes of shared memory", "INVALID_VALUE"):
        card.launch(Launch("mixed", GRID, 64, (0, 0, 0.0, 0, 0), 100 << 10))


@claim
def a_graph_replays_its_launches_in_order_behind_what_was_enqueued(stub: Stub) -> None:
    card = open_card()
    card.load("add", ADD)
    address, cell = card.allocate(8), np.zeros(1, np.int64)

    def add(entry: str, words: list[int]) -> None:
        place = ctypes.c_int64.from_address(address)
        place.value = place.value * 3 + words[0]

    stub.run = add
    graph = card.capture([Launch("add", (1, 1, 1), 32, (n,)) for n in (1, 2, 4)])
    assert not stub.pending()  # nothing ran yet
    other = card.capture([Launch("add", (1, 1, 1), 32, (5,))])
    expected = 0
    for start in (10, 20):
        card.upload(address, np.array([start]))
        graph.replay()
        other.replay()
        graph.replay()
        card.download(address, cell)
        expected = start
        for n in (1, 2, 4, 5, 1, 2, 4):
            expected = expected * 3 + n
        assert cell[0] == expected
    graph.close()
    graph.close()
    other.replay()
    card.close()
    other.close()
    assert not stub.held()


@claim
def a_capture_that_fails_leaves_the_card_usable(stub: Stub) -> None:
    card = open_card()
    card.load("add", ADD)
    launch = Launch("add", (1, 1, 1), 32, (1,))
    stub.fail("cuLaunchKernel", 1, after=1)
    with raises(LeptonError, "start the kernel add", "CUDA_ERROR_INVALID_VALUE"):
        card.capture([launch] * 3)
    card.capture([launch] * 3).replay()
    card.synchronize()
    assert len(stub.launches) == 3 and "graphs" not in stub.held()


@claim
def launches_and_copies_are_timed(stub: Stub) -> None:
    from ops.cuda.device.bandwidth import copy_bandwidth

    card = open_card()
    card.load("add", ADD)
    seconds = card.timed([Launch("add", (blocks, 1, 1), 32, (1,)) for blocks in (1, 5, 2)])
    assert np.allclose(seconds, [3e-3, 7e-3, 4e-3])  # a ms an operation and a block, and the event
    assert len(stub.launches) == 3
    speed = copy_bandwidth(card, 1 << 20)
    assert np.isclose(speed, 2 * 8 * (1 << 20) / 9e-3)
    card.close()
    assert not stub.held()


@claim
def no_room_is_told_with_numbers_and_is_no_loss(stub: Stub) -> None:
    card = open_card()
    stub.library.stub_memory(100 << 20, 1000 << 20)
    with raises(
        OutOfMemoryError, "200.0 MiB", "100.0 MiB of 1000.0 MiB are free", hint="smaller -ngl"
    ):
        card.allocate(200 << 20)
    card.free(card.allocate(50 << 20))


@claim
def no_room_while_opening_gives_all_back(stub: Stub) -> None:
    stub.fail("cuDevicePrimaryCtxRetain", OUT_OF_MEMORY)
    with raises(OutOfMemoryError, "open GPU 0"):
        open_card()
    stub.fail("cuMemHostAlloc", OUT_OF_MEMORY)
    with raises(OutOfMemoryError, "pin 8.0 MiB of the machine's memory"):
        open_card()
    assert "contexts" not in stub.held()


@claim
def a_lost_card_says_so_for_ever_and_closes_quietly(stub: Stub) -> None:
    card = open_card()
    card.load("add", ADD)
    address, launch = card.allocate(64), Launch("add", (1, 1, 1), 32, (1,))
    graph = card.capture([launch])
    card.launch(launch)
    stub.fail("cuEventSynchronize", LAUNCH_FAILED, after=1)  # the first is a slot's, long done
    words = "the GPU was lost", "copy from the GPU", "CUDA_ERROR_LAUNCH_FAILED"
    cell = np.zeros(8)
    with raises(LeptonError, words[0], words[2], hint="--backend cpu"):
        card.download(address, cell)
    for call in (
        lambda: card.upload(address, cell),
        lambda: card.allocate(5),
        lambda: card.launch(launch),
        card.synchronize,
        card.memory,
        graph.replay,
    ):
        with raises(LeptonError, words[0], words[2], hint="--backend cpu"):
            call()
    card.free(address)
    graph.close()
    card.close()
    card.close()
    graph.close()
    assert "contexts" not in stub.held()


@claim
def a_card_that_is_found_lost_by_free_or_close_is_lost_quietly(stub: Stub) -> None:
    card = open_card()
    address = card.allocate(64)
    stub.fail("cuStreamSynchronize", ILLEGAL_ADDRESS)
    card.free(address)
    with raises(LeptonError, "the GPU was lost", "CUDA_ERROR_ILLEGAL_ADDRESS"):
        card.synchronize()
    card.close()
    assert "contexts" not in stub.held()


@claim
def a_closed_card_has_given_all_back_and_refuses(stub: Stub) -> None:
    card = open_card()
    card.load("add", ADD)
    address = card.allocate(3 << 20)
    card.upload(address, noise(3 << 20))
    card.capture([Launch("add", (1, 1, 1), 32, (1,))]).replay()
    assert stub.held().keys() == set(COUNTED) - {"graphs"}
    card.close()
    card.close()
    assert not stub.held()
    card.free(address)
    with raises(UsageError, "the model is closed", hint="load it again"):
        card.memory()
    again = open_card()
    again.free(again.allocate(10))


@claim
def a_forked_child_refuses_and_leaves_the_card_to_its_parent(stub: Stub) -> None:
    card = open_card()
    graph = card.capture([])
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            words = "another process"
            for call in (card.memory, card.synchronize, graph.replay, lambda: card.free(1)):
                with raises(UsageError, words, hint="load it again"):
                    call()
            graph.close(), card.close(), card.close()
            with raises(UsageError, words):
                card.allocate(1)
            assert stub.held()["contexts"] == 1
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    card.synchronize()


@claim
def threads_other_than_the_opener_may_call(stub: Stub) -> None:
    card = open_card()

    def work(seed: int) -> bool:
        for size in (100, 2 << 20, 70_000):
            address, source, target = card.allocate(size), noise(size, seed), noise(size)
            card.upload(address, source)
            card.download(address, target)
            card.clear(address, size)
            card.free(address)
            if not (source == target).all():
                return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(1, 25))) == [True] * 24
    assert "allocations" not in stub.held()


@claim
def an_address_that_is_not_on_the_card_loses_it(stub: Stub) -> None:
    card = open_card()
    with raises(LeptonError, "the GPU was lost", "CUDA_ERROR_ILLEGAL_ADDRESS"):
        card.upload(12345, noise(10))
    card.close()


@claim
def a_wrong_number_or_no_card_is_told(stub: Stub) -> None:
    with raises(UsageError, "no GPU 1", hint="0 to 0"):
        open_card(1)
    stub.library.stub_devices(0)
    with raises(LeptonError, "no NVIDIA GPU", hint="nvidia-smi"):
        open_card()


@claim
def an_installation_that_does_not_fit_is_told(stub: Stub) -> None:
    for code, words in ((803, "not ready"), (100, "no NVIDIA GPU"), (34, "missing")):
        stub.fail("cuInit", code)
        with raises(LeptonError, words, hint="--backend cpu"):
            open_card()
    card = open_card()
    with raises(LeptonError, "load the kernel broken", "CUDA_ERROR_INVALID_IMAGE", "does not fit"):
        card.load("broken", Code(b"no cubin", "x", ""))
    with raises(LeptonError, "load the kernel missing", "CUDA_ERROR_NOT_FOUND"):
        card.load("missing", Code(MIXED.binary, "missing", ""))
    stub.fail("cuModuleLoadData", 222)
    with raises(LeptonError, "too old", "UNSUPPORTED_PTX_VERSION", hint="newer NVIDIA driver"):
        card.load("new", MIXED)
    stub.fail("cuMemAlloc", 98765)
    with raises(LeptonError, "allocate", "98765", hint="newer NVIDIA driver"):
        card.allocate(1)


if __name__ == "__main__":
    CLAIMS[sys.argv[1]](Stub())
