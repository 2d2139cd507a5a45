"""Turns the driver's error names into messages: out of memory, a lost card, a bad installation."""

from quant.errors import LeptonError, OutOfMemoryError

CPU_HINT = "`--backend cpu` computes without the GPU"
DRIVER_HINT = f"install a newer NVIDIA driver (nvidia-smi shows the present one), or {CPU_HINT}"
ROOM_HINT = (
    "use a smaller -ngl or -c; another process may have taken memory: nvidia-smi shows which"
)
LOSS_HINT = "start again, or compute with `--backend cpu`"

NO_ROOM = "CUDA_ERROR_OUT_OF_MEMORY"

# After these the context only returns the same error: the card's contents are lost.
LOSSES = frozenset(
    f"CUDA_ERROR_{name}"
    for name in (
        "ASSERT",
        "CONTAINED",
        "CONTEXT_IS_DESTROYED",
        "DEINITIALIZED",
        "DEVICE_NOT_LICENSED",
        "DEVICE_UNAVAILABLE",
        "ECC_UNCORRECTABLE",
        "EXTERNAL_DEVICE",
        "HARDWARE_STACK_ERROR",
        "ILLEGAL_ADDRESS",
        "ILLEGAL_INSTRUCTION",
        "INVALID_ADDRESS_SPACE",
        "INVALID_CONTEXT",
        "INVALID_PC",
        "LAUNCH_FAILED",
        "LAUNCH_TIMEOUT",
        "MISALIGNED_ADDRESS",
        "MPS_CLIENT_TERMINATED",
        "MPS_RPC_FAILURE",
        "NVLINK_UNCORRECTABLE",
        "TENSOR_MEMORY_LEAK",
        "UNKNOWN",
    )
)

_NO_DRIVER = "the NVIDIA driver is missing, or too old"
_OLD_DRIVER = "the NVIDIA driver is too old for this CUDA"
_FOREIGN_CODE = "the kernel's machine code does not fit this GPU and driver"
_NOT_READY = "the NVIDIA driver is not ready"
_RESTART_HINT = f"restart the machine if its driver was just updated, or {CPU_HINT}"

# CUDA cannot be used as it is installed: what is wrong, and the cure.
INSTALLATION = {
    "CUDA_ERROR_NO_DEVICE": (
        "there is no NVIDIA GPU that CUDA may use",
        f"nvidia-smi and CUDA_VISIBLE_DEVICES say why, or {CPU_HINT}",
    ),
    "CUDA_ERROR_STUB_LIBRARY": (_NO_DRIVER, DRIVER_HINT),
    "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER": (_OLD_DRIVER, DRIVER_HINT),
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": (_OLD_DRIVER, DRIVER_HINT),
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": (_OLD_DRIVER, DRIVER_HINT),
    "CUDA_ERROR_NO_BINARY_FOR_GPU": (_FOREIGN_CODE, DRIVER_HINT),
    "CUDA_ERROR_INVALID_IMAGE": (_FOREIGN_CODE, DRIVER_HINT),
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": (_NOT_READY, _RESTART_HINT),
    "CUDA_ERROR_SYSTEM_NOT_READY": (_NOT_READY, _RESTART_HINT),
    "CUDA_ERROR_NOT_INITIALIZED": (
        "CUDA cannot be used in a process forked from one that uses it",
        f"start processes with the method `spawn`, or {CPU_HINT}",
    ),
}


def failure(name: str, doing: str) -> LeptonError:
    """The error for CUDA's `name` (not out of memory) while `doing` ("allocate 3 MiB")."""
    if name in INSTALLATION:
        message, hint = INSTALLATION[name]
        return LeptonError(f"{message}: could not {doing} ({name})", hint)
    if name in LOSSES:
        return LeptonError(f"the GPU was lost: could not {doing} ({name})", LOSS_HINT)
    return LeptonError(f"the GPU could not {doing} ({name})", CPU_HINT)


def no_driver(reason: str, doing: str) -> LeptonError:
    """The driver's library is missing, or lacks a function."""
    return LeptonError(f"{_NO_DRIVER}: could not {doing} ({reason})", DRIVER_HINT)


def no_room(doing: str, room: tuple[int, int] | None) -> OutOfMemoryError:
    """`room`: free and total bytes of the card, if known."""
    numbers = f", {mebibytes(room[0])} of {mebibytes(room[1])} are free" if room else ""
    return OutOfMemoryError(f"the GPU has no room: could not {doing}{numbers}", ROOM_HINT)


def mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
