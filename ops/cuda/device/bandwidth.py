"""Memory bandwidth of the card: the ceiling that `lepton bench` compares kernels with."""

from ops.cuda.device.driver import Driver

REPEATS = 5
COPIES = 8  # a measurement, so that the pauses between copies do not count


def copy_bandwidth(device: Driver, size: int) -> float:
    """Bytes/s, read and written, of copies of `size` bytes from memory to memory; the best of some.

    Takes `2 * size` bytes, which should be many times the card's cache. Raises OutOfMemoryError.
    """
    source = device.allocate(size)
    try:
        target = device.allocate(size)
        try:
            return max(_measured(device, source, target, size) for _ in range(REPEATS))
        finally:
            device.free(target)
    finally:
        device.free(source)


def _measured(device: Driver, source: int, target: int, size: int) -> float:
    def work() -> None:
        for _ in range(COPIES):
            device.copy(source, target, size)

    return 2 * size * COPIES / device.elapsed(work)
