"""The ladder of instruction sets: which rung a machine gets, and that each computes the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import ir

from ops.cpu.instruction_sets.llvm import constant
from ops.cpu.instruction_sets.rung import Rung
from ops.cpu.processor import host_features
from ops.cpu.rungs import ARM, LADDERS, OTHER, X86, choose_rung, ladder, reached
from quant.errors import UsageError

ROOT = Path(__file__).parents[2]
NAMES = [rung.name for rung in reached(host_features(), ladder())]

V2 = {"sse2", "sse4.2", "popcnt", "avx"}
V3 = V2 | {"avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
PROCESSORS = [
    ("x86_64", set(), "generic"),
    ("x86_64", V2, "generic"),  # Sandy Bridge
    ("x86_64", V3, "avx2"),  # Haswell, Zen 2
    ("x86_64", V3 - {"f16c"}, "generic"),  # as a virtual machine may hide it
    ("x86_64", V3 - {"lzcnt"}, "generic"),  # without it the instruction means another one
    ("AMD64", V3 | {"avxvnni"}, "avxvnni"),  # Alder Lake
    ("x86_64", V4, "avx2"),  # Skylake-X: without the dot product
    ("x86_64", V4 | {"avx512vnni"}, "avx512"),  # Cascade Lake
    ("x86_64", V4 | {"avx512vnni", "avxvnni"}, "avx512"),  # Zen 5
    ("aarch64", {"neon"}, "generic"),  # Cortex-A72
    ("aarch64", {"neon", "dotprod", "fullfp16"}, "dotprod"),  # Graviton 2
    ("arm64", {"neon", "dotprod", "fullfp16", "i8mm"}, "dotprod"),  # Apple M2
    ("riscv64", {"v"}, "generic"),
]


@pytest.mark.parametrize(("machine", "features", "rung"), PROCESSORS)
def test_a_machine_gets_the_best_rung_that_it_reaches(machine, features, rung):
    assert choose_rung(features, {}, machine).name == rung
    assert choose_rung(features, {"LEPTON_CPU": ""}, machine).name == rung


@pytest.mark.parametrize("rung", X86)
def test_the_variable_lowers_the_rung(rung):
    everything = V4 | {"avx512vnni", "avxvnni"}
    assert choose_rung(everything, {"LEPTON_CPU": rung.name}, "x86_64") is rung


@pytest.mark.parametrize("wanted", ["avx512", "avx", "AVX2", "dotprod", " generic"])
def test_a_rung_that_is_unknown_or_out_of_reach_is_refused_with_those_in_reach(wanted):
    with pytest.raises(UsageError, match=re.escape(f"LEPTON_CPU is {wanted!r}")) as refused:
        choose_rung(V3, {"LEPTON_CPU": wanted}, "x86_64")
    assert refused.value.hint == "this CPU can run avx2, generic"


@pytest.mark.parametrize("machine", LADDERS)
def test_the_lowest_rung_is_in_anyones_reach(machine):
    *_, lowest = ladder(machine)
    assert lowest.name == "generic" and not lowest.needs


def test_this_machine_has_features():
    assert host_features() or ladder() not in (X86, ARM)


# --- what is compiled for a rung


def emitted(rung: Rung) -> str:
    """LLVM IR with everything that a rung emits, once."""
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "all")
    builder = ir.IRBuilder(function.append_basic_block())
    i32, u8, f32 = constant("i32", 0), constant("u8", 0), constant("f32", 0.0)
    rung.dot(builder, i32, u8, u8)
    rung.dot_small(builder, i32, u8, u8)
    rung.lookup(builder, u8, range(16))
    rung.fma(builder, f32, f32, f32)
    rung.widen_half(builder, rung.narrow_half(builder, f32))
    rung.pause(builder)
    return str(function.module)


@pytest.mark.parametrize(
    ("machine", "family"), [("x86_64", {"x86"}), ("aarch64", {"aarch64"}), ("riscv64", set())]
)
def test_a_rung_emits_instructions_of_its_own_machine(machine, family):
    used = [set(re.findall(r"llvm\.(x86|aarch64)", emitted(rung))) for rung in ladder(machine)]
    assert used == [family] * len(used)


def test_the_compiler_tells_rungs_apart():
    rungs = [*X86, *ARM, *OTHER]
    assert len({(rung.processor, rung.features) for rung in rungs}) == len(rungs)


def with_rung(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    own = {"LEPTON_CPU": name, "LEPTON_TEST_CACHE": os.environ["XDG_CACHE_HOME"]}
    environment = {**os.environ, **own, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    run = [sys.executable, *command]
    return subprocess.run(run, capture_output=True, text=True, env=environment, cwd=ROOT)


@pytest.mark.parametrize("name", NAMES[1:])  # the best one is what all other tests run on
def test_intrinsics_mean_the_same_on_every_rung(name):
    done = with_rung(name, "-m", "pytest", "tests/ops/test_simd.py")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES[1:])
def test_operators_equal_the_reference_on_every_rung(name):
    done = with_rung(name, "-m", "pytest", "-k", "linear", "tests/ops/test_operators.py")
    assert done.returncode == 0, done.stdout + done.stderr


BETWEEN = [pytest.param(name, marks=pytest.mark.exhaustive) for name in NAMES[1:-1]]


@pytest.mark.parametrize("name", [*BETWEEN, *dict.fromkeys([NAMES[0], NAMES[-1]])])
def test_the_built_in_model_greets_on_every_rung(name):
    done = with_rung(name, "-m", "lepton_cli", "run", "builtin", "hi", "-n", "3", "--temp", "0")
    assert (done.returncode, done.stdout) == (0, "Hello! I\n"), done.stderr


@pytest.mark.parametrize("kernel", ["linear_Q4_0", "linear_Q8_0", "linear_Q4_K"])
def test_arm_kernels_use_the_dot_product(kernel):
    [dotprod, _] = ARM
    target = {"NUMBA_CPU_NAME": dotprod.processor, "NUMBA_CPU_FEATURES": dotprod.features}
    script = str(ROOT / "tests" / "support" / "arm_assembly.py")
    environment = {**os.environ, **target, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    made = subprocess.run(
        [sys.executable, script, kernel], env=environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    assert re.search(r"\b(sdot|udot|usdot)\s+v\d+\.4s", made.stdout)
