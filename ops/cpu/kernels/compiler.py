"""How kernels are compiled: one set of flags for all, and a kernel's object code for the store."""

from collections.abc import Callable
from typing import Any

from numba import cfunc, njit, types

# reassoc lets sums of products use whole vectors; nnan and ninf stay off, so that isnan works
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

device = njit(fastmath=FASTMATH, error_model="numpy")
"""For functions that kernels call; LLVM inlines them."""


def c_function(function: Callable[..., None], arguments: int) -> Any:
    """The function of so many int64, compiled with a C entry."""
    signature = types.void(*[types.int64] * arguments)
    return cfunc(signature, fastmath=FASTMATH, error_model="numpy")(function)


def compile_kernel(function: Callable[..., None], arguments: int) -> tuple[bytes, str]:
    """The object code, and the name of the C entry in it."""
    compiled = c_function(function, arguments)
    library = compiled._library
    return library.codegen._tm.emit_object(library._final_module), compiled.native_name
