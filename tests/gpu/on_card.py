"""What is asked of the card itself, by the process that holds it."""

from real_card import compiled_kernels, the_driver

from ops.cuda.kernels import KERNELS

COPIED = 1 << 30  # bytes, at most


def free_bytes() -> int:
    return the_driver().memory()[0]


def bandwidth() -> float:
    """Bytes a second, read and written."""
    from ops.cuda.device.bandwidth import copy_bandwidth  # needs the extra

    return copy_bandwidth(the_driver(), min(COPIED, free_bytes() // 4))


def prepare_kernels() -> str:
    compiled_kernels().prepare(KERNELS)
    return f"{len(KERNELS)} compiled and loaded"
