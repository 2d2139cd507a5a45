"""How kernels are compiled: for a rung, all with the same flags.

Numba makes one target machine per process, while it is imported. So the rung of a process that
compiles is set before it starts, by Numba's own variables (`ops.cpu.compiling`).
"""

from collections.abc import Callable
from typing import Any

from numba import cfunc, config, njit, types

from ops.cpu.instruction_sets.rung import Rung
from ops.cpu.rungs import ARM, OTHER, X86

RUNGS = {(rung.processor, rung.features): rung for rung in (*X86, *ARM, *OTHER)}

# No fastmath: any number of threads gives the same bytes, and whole vectors are written as such.
device = njit(error_model="numpy")  # a division by zero gives inf or nan and needs no interpreter
"""For functions that kernels call; LLVM inlines most of them."""
inlined = njit(error_model="numpy", forceinline=True)
"""As `device`, for large functions in a loop: a call would pass a tile of registers by memory."""


def target() -> Rung:
    """The rung that code is generated for."""
    return RUNGS[config.CPU_NAME, config.CPU_FEATURES]


def widen_half(builder, bits):
    """Emits the conversion of f16, by its bits, to f32."""
    return target().widen_half(builder, bits)


def narrow_half(builder, value):
    """Emits the conversion of f32 to the bits of the nearest f16."""
    return target().narrow_half(builder, value)


def c_function(function: Callable[..., None], arguments: int) -> Any:
    """The function, compiled with a C entry that takes this many int64."""
    signature = types.void(*[types.int64] * arguments)
    return cfunc(signature, error_model="numpy")(function)


def compile_kernel(function: Callable[..., None], arguments: int) -> tuple[bytes, str]:
    """The object code, and the name of the C entry in it."""
    compiled = c_function(function, arguments)
    library = compiled._library
    features = library.codegen._tm_features
    assert features == target().features, "the rung was set after Numba was imported"
    return library.codegen._tm.emit_object(library._final_module), compiled.native_name
