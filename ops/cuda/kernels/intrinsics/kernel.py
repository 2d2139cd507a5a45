"""Kernels: functions over intrinsics, with their operands and launch bounds.

A parameter is a number or a record of operands, a NamedTuple: the launch passes its fields one by
one, and the compiler and the emulator give the function the record.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """`threads`: the most per block; `blocks`: how many should fit on a multiprocessor.

    `parameters`: the function's types, Address, Int or Float of `primitives`, or records of these.
    `signature`: one letter per operand, see `primitives`; a record has one for each field.
    """

    function: FunctionType
    parameters: tuple[Any, ...]
    signature: str
    threads: int
    blocks: int

    @property
    def bounds(self) -> tuple[int, int]:
        return self.threads, self.blocks


def kernel(threads: int, blocks: int = 1) -> Callable[[Callable[..., None]], Kernel]:
    """Declares a kernel; the annotations of its parameters are as in `Kernel.parameters`."""

    def declare(function: Callable[..., None]) -> Kernel:
        assert isinstance(function, FunctionType)
        hints = get_type_hints(function, include_extras=True)
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        parameters = tuple(hints[name] for name in names)
        signature = "".join(map(letters, parameters))
        return Kernel(function, parameters, signature, threads, blocks)

    return declare


@functools.cache
def fields(parameter: Any) -> tuple[Any, ...] | None:
    """The types of a record's fields; None for a number."""
    if isinstance(parameter, type) and issubclass(parameter, tuple):
        return tuple(get_type_hints(parameter, include_extras=True).values())
    return None


def letters(parameter: Any) -> str:
    """One letter per operand of a parameter."""
    inner = fields(parameter)
    if inner is None:
        letter: str = parameter.__metadata__[0]
        return letter
    return "".join(map(letters, inner))


def operands_of(*records: Any) -> tuple[int | float, ...]:
    """Flattens records and numbers to the operands of a launch."""
    flat: list[int | float] = []
    for record in records:
        flat += operands_of(*record) if isinstance(record, tuple) else (record,)
    return tuple(flat)
