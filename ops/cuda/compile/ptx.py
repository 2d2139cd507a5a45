"""Compiles a kernel's function to PTX and assembles it to machine code.

The only file that knows the compiler: numba-cuda compiles through NVVM, nvJitLink assembles.
Neither needs a card or a driver. Imported only in a process that compiles.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Any

from cuda.bindings import nvjitlink
from llvmlite import ir
from numba import cuda
from numba.cuda import cudadecl, dispatcher, types
from numba.cuda.extending import intrinsic

from ops.cuda.device.device import Code
from ops.cuda.kernels.intrinsics import warps
from ops.cuda.kernels.intrinsics.binding import Binder, Symbol
from ops.cuda.kernels.intrinsics.kernel import Kernel, fields, letters
from ops.cuda.kernels.intrinsics.primitives import Cast, Intrinsic, Local

TYPES = {"i": types.int32, "l": types.int64, "f": types.float32, "d": types.float64}
LLVM_TYPES = {"i": ir.IntType(32), "l": ir.IntType(64), "f": ir.FloatType(), "d": ir.DoubleType()}
SHARED_SPACE = 3
OLDEST = 75  # compute capability
MARK = "lepton_intrinsic"
SPELLINGS = {
    instruction.name: instruction.assembly
    for instruction in vars(warps).values()
    if isinstance(instruction, Intrinsic) and not isinstance(instruction.assembly, str)
}
"""Assembly by name, for the intrinsics whose spelling depends on the card."""

cudadecl.register_global(
    cuda.local, types.Module(cuda.local)
)  # numba knows it only as an attribute


@dataclass(frozen=True, slots=True)
class Assembled:
    """Machine code, and what the assembler reports about it."""

    code: Code
    ptx: str
    registers: int
    spilled: int  # bytes of local memory


def compile_kernel(kernel: Kernel, sm: int) -> Assembled:
    """For a compute capability such as 89. A kernel that does not compile is our bug: it raises."""
    return assemble(to_ptx(kernel), kernel, sm)


def assemble(ptx: str, kernel: Kernel, sm: int) -> Assembled:
    """Machine code for a capability, from the output of `to_ptx`."""
    ptx = spelled(ptx, sm)
    binary, log = _assemble(ptx, sm)
    registers = re.search(r"used (\d+) registers", log)
    spills = [int(number) for number in re.findall(r"(\d+) bytes (?:stack frame|spill)", log)]
    code = Code(binary, entry_of(kernel), kernel.signature)
    return Assembled(code, ptx, int(registers[1]) if registers else 0, sum(spills))


def to_ptx(kernel: Kernel) -> str:
    """For every card: intrinsics that cards spell differently are left as marked names."""
    capability = divmod(OLDEST, 10)
    # numba compiles device functions for the current card: name one, since none is needed here
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    binder = Binder(_translated, partial(cuda.jit, device=True))
    function = binder.bind(kernel.function)
    signature = types.void(*map(_type_of, kernel.parameters))
    ptx, _ = cuda.compile_ptx(function, signature, cc=capability, launch_bounds=kernel.bounds)
    return _with_plain_names(str(ptx), kernel)


def _with_plain_names(ptx: str, kernel: Kernel) -> str:
    """Mangled names, which spell out the types of records, would be a third of the machine code."""
    entry = re.search(r"\.visible \.entry (\w+)", ptx)
    assert entry, "the compiler gave no entry"
    ptx = re.sub(r"\.common \.global .*NumbaEnv\w+;\n", "", ptx)  # read by nobody
    return ptx.replace(entry[1], entry_of(kernel))


def entry_of(kernel: Kernel) -> str:
    """The kernel's name in its machine code, as profilers show it."""
    return "lepton_" + re.sub(r"\W+", "_", kernel.function.__qualname__)


def _type_of(parameter: Any) -> Any:
    """A record is passed field by field."""
    inner = fields(parameter)
    if inner is None:
        return TYPES[letters(parameter)]
    return types.NamedTuple([_type_of(field) for field in inner], parameter)


def spelled(ptx: str, sm: int) -> str:
    """The output of `to_ptx` with the marked intrinsics spelled for a capability."""

    def spell(match: re.Match[str]) -> str:
        spelling = SPELLINGS[match[1]](sm)
        operands = [operand.strip() for operand in match[2].split(",")]
        return re.sub(r"\$(\d+)", lambda place: operands[int(place[1])], spelling)

    target = f".target sm_{OLDEST if sm < 80 else 80}"  # where they begin to differ
    return re.sub(rf"{MARK} (\w+) ([^;]*);", spell, ptx.replace(f".target sm_{OLDEST}", target))


def _translated(instruction: Symbol) -> Any:
    if isinstance(instruction, Cast):
        return types.int32 if instruction.letter == "i" else types.float32
    if isinstance(instruction, Local):
        return cuda.local
    return _intrinsic(instruction)


def _intrinsic(instruction: Intrinsic) -> Any:
    text = instruction.assembly
    if not isinstance(text, str):
        places = range(len(instruction.results) + len(instruction.operands))
        text = f"{MARK} {instruction.name} {', '.join(f'${place}' for place in places)};"
    results = [TYPES[letter] for letter in instruction.results]
    returned = types.void if not results else results[0]
    if len(results) > 1:
        alike = len(set(results)) == 1
        returned = types.UniTuple(results[0], len(results)) if alike else types.Tuple(results)
    signature = returned(*[TYPES[letter] for letter in instruction.operands])

    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        if instruction.kind == "shared_base":
            return _shared_base(builder)
        value = builder.call(
            _inline(instruction, text),
            operands,
            attrs=() if instruction.kind == "plain" else ("convergent",),
        )
        if not results:
            return context.get_dummy_value()
        if len(results) == 1:
            return value
        parts = [builder.extract_value(value, n) for n in range(len(results))]
        return context.make_tuple(builder, signature.return_type, parts)

    def typed(typing_context: Any, *operands: Any) -> tuple[Any, Callable[..., Any]]:
        return signature, emit

    typed.__name__ = instruction.name
    names = ["typing_context", *(f"operand_{n}" for n in range(len(instruction.operands)))]
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    typed.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # read by numba
    return intrinsic(typed)


def _inline(instruction: Intrinsic, text: str) -> ir.InlineAsm:
    results = [LLVM_TYPES[letter] for letter in instruction.results]
    returned = ir.VoidType() if not results else results[0]
    if len(results) > 1:
        returned = ir.LiteralStructType(results)
    function = ir.FunctionType(returned, [LLVM_TYPES[letter] for letter in instruction.operands])
    # without side effects the compiler could hoist it above its guarding branch: a load from 0
    fixed = (
        instruction.effects or instruction.touches or instruction.kind in ("collective", "barrier")
    )
    return ir.InlineAsm(function, text, instruction.constraints, side_effect=bool(fixed))


def _shared_base(builder: Any) -> Any:
    """Dynamic shared memory, sized by the launch: an external array of size 0."""
    name, module = "dynamic_shared", builder.module
    if name not in module.globals:
        memory = ir.GlobalVariable(module, ir.ArrayType(ir.IntType(8), 0), name, SHARED_SPACE)
        memory.linkage, memory.align = "external", 16
    return builder.ptrtoint(module.globals[name], LLVM_TYPES["i"])


def _assemble(ptx: str, sm: int) -> tuple[bytes, str]:
    """The machine code, and the assembler's log."""
    options = [f"-arch=sm_{sm}", "-verbose", "-Xptxas=-v", "-O3"]
    linker, source = nvjitlink.create(len(options), options), ptx.encode()
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, source, len(source), "kernel")
        nvjitlink.complete(linker)
        binary = bytearray(nvjitlink.get_linked_cubin_size(linker))
        nvjitlink.get_linked_cubin(linker, binary)
        log = bytearray(nvjitlink.get_info_log_size(linker))
        nvjitlink.get_info_log(linker, log)
        return bytes(binary), log.decode(errors="replace")
    except nvjitlink.nvJitLinkError as error:
        log = bytearray(nvjitlink.get_error_log_size(linker))
        nvjitlink.get_error_log(linker, log)
        raise AssertionError(f"sm_{sm}: {error}\n{log.decode(errors='replace')}") from error
    finally:
        nvjitlink.destroy(linker)
