"""LLVM's types and instructions for registers of 16 lanes: what all instruction sets share."""

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir

from ops.cpu.instruction_sets.rung import Builder, Value

LANES = 16
I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
HALF, FLOAT = ir.HalfType(), ir.FloatType()


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's type of BF16, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(type(self))


BFLOAT = _BFloat()
ELEMENTS = {"u8": (I8, 64), "i32": (I32, LANES), "f32": (FLOAT, LANES), "mask": (I1, LANES)}


def register(kind: str) -> Any:
    """The type of one register: u8 (64 bytes), i32, f32, or the mask of a comparison."""
    return ir.VectorType(*ELEMENTS[kind])


def constant(kind: str, value: float) -> Value:
    """A register with the value in every lane."""
    element, lanes = ELEMENTS[kind]
    return ir.Constant(ir.VectorType(element, lanes), [ir.Constant(element, value)] * lanes)


def lane_numbers() -> Value:
    """0, 1, ... 15."""
    return ir.Constant(register("i32"), list(range(LANES)))


def shuffled(builder: Builder, first: Value, second: Value, places: Iterable[int]) -> Value:
    """The elements at these places of the concatenation of two vectors."""
    numbers = list(places)
    mask = ir.Constant(ir.VectorType(I32, len(numbers)), numbers)
    return builder.shuffle_vector(first, second, mask)


def splat(builder: Builder, value: Value) -> Value:
    """A scalar in each of 16 lanes."""
    none = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(I32, 0))
    return shuffled(builder, first, none, [0] * LANES)


def call(builder: Builder, name: str, result: Any, *operands: Value) -> Value:
    """Calls an intrinsic function of LLVM."""
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(result, [operand.type for operand in operands])
        function = ir.Function(builder.module, kind, name)
    return builder.call(function, operands)


def pointer(builder: Builder, address: Value, element: Any, offset: Value | None = None) -> Value:
    """The integer address, plus bytes, as a pointer to the element type."""
    if offset is not None:
        address = builder.add(address, offset)
    return builder.inttoptr(address, element.as_pointer())


def by_parts(builder: Builder, parts: int, emit: Callable[..., Value], *operands: Value) -> Value:
    """Applies `emit` to each part of the operands, for instructions on narrower registers."""
    pieces = []
    for n in range(parts):
        cut = []
        for operand in operands:
            width = operand.type.count // parts
            cut.append(shuffled(builder, operand, operand, range(n * width, (n + 1) * width)))
        pieces.append(emit(*cut))
    return joined(builder, pieces)


def joined(builder: Builder, pieces: list[Value]) -> Value:
    """The elements of a power of two of vectors, one after the other."""
    while len(pieces) > 1:
        both = range(2 * pieces[0].type.count)
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        pieces = [shuffled(builder, first, second, both) for first, second in pairs]
    return pieces[0]


def multiply_add(builder: Builder, a: Value, b: Value, c: Value) -> Value:
    """a·b + c, rounded once."""
    return call(builder, "llvm.fma.v16f32", a.type, a, b, c)


def multiply_then_add(builder: Builder, a: Value, b: Value, c: Value) -> Value:
    """a·b + c, rounded twice: for machines without a fused instruction."""
    return builder.fadd(builder.fmul(a, b), c)
