"""What a kernel is: a function over the words of `primitives`, and how it is to be compiled.

Operands that belong together are one record, a NamedTuple: the launch passes its fields one by one,
the compiler and the emulator hand the function the record again.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """`threads` a block (the most that it is launched with); `blocks` should fit on a processor.

    `parameters`: the function's, each Address, Int or Float of `primitives`, or a record of such.
    `signature`: their operands' letters, as of `primitives`; a record has one for each field.
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
    """The types of a record's fields; None for what is no record."""
    if isinstance(parameter, type) and issubclass(parameter, tuple):
        return tuple(get_type_hints(parameter, include_extras=True).values())
    return None


def letters(parameter: Any) -> str:
    """Those of a parameter's operands in their order."""
    inner = fields(parameter)
    if inner is None:
        letter: str = parameter.__metadata__[0]
        return letter
    return "".join(map(letters, inner))


def operands_of(*records: Any) -> tuple[int | float, ...]:
    """What a launch passes for records and single numbers: the fields one by one."""
    flat: list[int | float] = []
    for record in records:
        flat += operands_of(*record) if isinstance(record, tuple) else (record,)
    return tuple(flat)
