"""The features of this machine's processor, by LLVM's names."""

import ctypes
import platform
import sys

import llvmlite.binding as llvm

from ops.machine import sysctl_number

# Of ARM, LLVM reads none of the features that rungs need: neither from Linux nor from macOS.
AUXILIARY = {16: {10: "fullfp16", 20: "dotprod"}, 26: {13: "i8mm", 14: "bf16"}}
"""Of Linux's auxiliary vector the bits of AT_HWCAP (16) and AT_HWCAP2 (26) for AArch64."""
SYSCTL = {
    "fullfp16": "hw.optional.arm.FEAT_FP16",
    "dotprod": "hw.optional.arm.FEAT_DotProd",
    "i8mm": "hw.optional.arm.FEAT_I8MM",
    "bf16": "hw.optional.arm.FEAT_BF16",
}


def host_features() -> frozenset[str]:
    named = {name for name, has in llvm.get_host_cpu_features().items() if has}
    if platform.machine() in ("aarch64", "arm64"):
        named |= _arm_features()
    return frozenset(named)


def _arm_features() -> set[str]:
    if sys.platform == "darwin":
        return {name for name, key in SYSCTL.items() if sysctl_number(key)}
    return {
        name
        for entry, bits in AUXILIARY.items()
        for bit, name in bits.items()
        if _auxiliary(entry) >> bit & 1
    }


def _auxiliary(entry: int) -> int:
    """A value that Linux hands to each process; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    read = ctypes.CDLL(None).getauxval
    read.argtypes, read.restype = [ctypes.c_ulong], ctypes.c_ulong
    return int(read(entry))
