"""Products of pairs of rows with pairs of tokens, as ARM's SMMLA means them, on any CPU."""

from dataclasses import replace

from llvmlite import ir
from model_kernels import ModelKernels

from ops.cpu.instruction_sets.llvm import I32, call, shuffled
from ops.cpu.instruction_sets.rung import Builder, Value
from ops.cpu.kernels import IN_PAIRS
from ops.cpu.objects import ObjectStore

EIGHT = ir.VectorType(I32, 8)


def multiply_pairs(builder: Builder, *operands: Value) -> Value:
    """Calls a function of the module, so that kernels are compiled in less time."""
    function = builder.module.globals.get("smmla")
    if function is None:
        kind = ir.FunctionType(operands[0].type, [operand.type for operand in operands])
        function = ir.Function(builder.module, kind, "smmla")
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block())
        inner.ret(_multiplied(inner, *function.args))
    return builder.call(function, operands)


def _multiplied(builder: Builder, sums: Value, levels: Value, x: Value) -> Value:
    """sums[2i + j] += Σ levels[i][k] · x[j][k], all signed."""
    for n in range(4):
        rows = (levels, n // 2), (x, n % 2)
        row, token = (
            builder.sext(shuffled(builder, both, both, range(8 * half, 8 * half + 8)), EIGHT)
            for both, half in rows
        )
        total = call(builder, "llvm.vector.reduce.add.v8i32", I32, builder.mul(row, token))
        old = builder.extract_element(sums, I32(n))
        sums = builder.insert_element(sums, builder.add(old, total), I32(n))
    return sums


def pair_kernels(store: ObjectStore) -> ModelKernels:
    """This machine's kernels, but products by the model's pairs."""
    rung = replace(store.rung, multiply_pairs=multiply_pairs, matrix_tile=None)
    return ModelKernels(store, rung, IN_PAIRS)
