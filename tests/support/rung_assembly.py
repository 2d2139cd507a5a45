"""Prints a kernel's assembly for a rung of any machine, made on this one.

`rung_assembly.py KERNEL`, with Numba's variables naming the rung: the intrinsics then emit its
instructions, so nothing may be compiled for this machine. Numba's module is taken before.
"""

import sys

import llvmlite.binding as llvm
from numba.core import codegen

from ops.cpu.rungs import ARM, X86

TRIPLES = ("aarch64-unknown-linux-gnu", ARM), ("x86_64-unknown-linux-gnu", X86)
OF_THIS_MACHINE = ("target triple", "target datalayout")


def compile_nothing() -> None:
    """Lets Numba link and optimize its libraries without generating machine code."""

    def no_address(library, name: str) -> int:
        library._ensure_finalized()
        return 1  # never called

    codegen.JITCPUCodegen._add_module = lambda self, module: None
    codegen.JITCPUCodegen.set_env = lambda self, name, environment: None
    codegen.JITCodeLibrary._finalize_specific = lambda self: None
    codegen.JITCodeLibrary.get_pointer_to_function = no_address


def assembly(kernel: str) -> str:
    from ops.cpu.kernels import ARGUMENTS
    from ops.cpu.kernels import kernel as kernel_of
    from ops.cpu.kernels.simd.compiler import c_function, target

    library = c_function(kernel_of(kernel), ARGUMENTS.get(kernel, 4))._library
    text = library.get_llvm_str().splitlines()
    rung = target()
    [triple] = [triple for triple, rungs in TRIPLES if rung in rungs]
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=rung.processor, features=rung.features, opt=3
    )
    module = llvm.parse_assembly("\n".join(x for x in text if not x.startswith(OF_THIS_MACHINE)))
    module.triple, module.data_layout = triple, str(machine.target_data)
    passes = llvm.create_pass_builder(machine, llvm.PipelineTuningOptions(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    return machine.emit_assembly(module)


if __name__ == "__main__":
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    compile_nothing()
    print(assembly(sys.argv[1]))
