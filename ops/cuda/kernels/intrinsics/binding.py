"""Rebinds the intrinsics that a kernel names: a copy of its function with other globals.

The compiler substitutes its own intrinsics, the tests' emulator its own calls.
"""

from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

from ops.cuda.kernels.intrinsics.primitives import Cast, Intrinsic, Local

PACKAGE = "ops.cuda.kernels"
Symbol = Intrinsic | Cast | Local
"""What a kernel names besides functions and constants."""
Translate = Callable[[Symbol], Any]
Wrap = Callable[[FunctionType], Any]


class Binder:
    """`translate` replaces a symbol; `wrap` turns a bound device function into what is called.

    Functions of this package that a kernel names or closes over are bound in the same way.
    """

    def __init__(self, translate: Translate, wrap: Wrap) -> None:
        self._translate, self._wrap = translate, wrap
        self._bound: dict[object, Any] = {}

    def bind(self, function: FunctionType) -> FunctionType:
        """A copy of the function, not wrapped."""
        names = {name: self._value(value) for name, value in _named(function).items()}
        closure = tuple(CellType(self._value(c.cell_contents)) for c in function.__closure__ or ())
        bound = FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, closure
        )
        bound.__module__ = function.__module__
        return bound

    def _value(self, value: Any) -> Any:
        if isinstance(value, Symbol):
            return self._once(value, lambda: self._translate(value))
        if isinstance(value, FunctionType) and value.__module__.startswith(PACKAGE):
            return self._once(value, lambda: self._wrap(self.bind(value)))
        return value

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        if key not in self._bound:
            self._bound[key] = make()
        return self._bound[key]


def _named(function: FunctionType) -> dict[str, Any]:
    """The globals that the code may look up, and those that Python itself needs."""
    named = {name: function.__globals__[name] for name in _names(function)}
    return {"__name__": function.__module__, "__builtins__": __builtins__, **named}


def _names(function: FunctionType) -> list[str]:
    return [name for name in function.__code__.co_names if name in function.__globals__]
