"""What a kernel is: a function over the words of `primitives`, and how it is to be compiled."""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import get_type_hints


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """`threads` a block (the most that it is launched with); `blocks` should fit on a processor."""

    function: FunctionType
    signature: str  # a letter an operand: Address, Int, Float of `primitives`
    threads: int
    blocks: int

    @property
    def bounds(self) -> tuple[int, int]:
        return self.threads, self.blocks


def kernel(threads: int, blocks: int = 1) -> Callable[[Callable[..., None]], Kernel]:
    """Declares a kernel; the annotations of its operands are Address, Int or Float."""

    def declare(function: Callable[..., None]) -> Kernel:
        assert isinstance(function, FunctionType)
        hints = get_type_hints(function, include_extras=True)
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        letters = "".join(hints[name].__metadata__[0] for name in names)
        return Kernel(function, letters, threads, blocks)

    return declare
