"""Prints a kernel's assembly for ARM with the dot product, made on any machine.

`arm_assembly.py KERNEL`, with Numba's variables naming the rung "dotprod": the intrinsics then emit
ARM's instructions, so nothing may be compiled for this machine. Numba's module is taken before.
"""

import sys

import llvmlite.binding as llvm
from numba.core import codegen

TRIPLE = "aarch64-unknown-linux-gnu"
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
    from ops.cpu.kernels import ARGUMENTS, KERNELS
    from ops.cpu.kernels.simd.compiler import c_function, target

    library = c_function(KERNELS[kernel], ARGUMENTS.get(kernel, 4))._library
    text = library.get_llvm_str().splitlines()
    rung, arm = target(), llvm.Target.from_triple(TRIPLE)
    machine = arm.create_target_machine(cpu=rung.processor, features=rung.features, opt=3)
    module = llvm.parse_assembly("\n".join(x for x in text if not x.startswith(OF_THIS_MACHINE)))
    module.triple, module.data_layout = TRIPLE, str(machine.target_data)
    passes = llvm.create_pass_builder(machine, llvm.PipelineTuningOptions(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    return machine.emit_assembly(module)


if __name__ == "__main__":
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    compile_nothing()
    print(assembly(sys.argv[1]))
