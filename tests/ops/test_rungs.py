"""The ladder of instruction sets: which rung a machine gets, and that each computes the same."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from llvmlite import ir

from ops.cpu import findings
from ops.cpu.instruction_sets import amx
from ops.cpu.instruction_sets.amx import AMX
from ops.cpu.instruction_sets.avx512 import AVX512
from ops.cpu.instruction_sets.avx512bf16 import AVX512BF16
from ops.cpu.instruction_sets.dotprod import DOTPROD
from ops.cpu.instruction_sets.i8mm import I8MM
from ops.cpu.instruction_sets.llvm import I8, I32, I64, constant
from ops.cpu.instruction_sets.rung import ACTIVATIONS, SUMS, WEIGHTS, Rung
from ops.cpu.processor import host_features
from ops.cpu.rungs import ARM, LADDERS, OTHER, X86, choose_rung, ladder, obstacle, reached
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
    ("x86_64", V4 | {"avx512vnni", "avx512bf16"}, "avx512bf16"),  # Cooper Lake, Zen 4
    ("x86_64", V4 | {"avx512vnni", "avx512bf16", "avxvnni"}, "avx512bf16"),  # Zen 5
    ("x86_64", V4 | {"avx512bf16"}, "avx2"),  # a virtual machine hides the dot product of bytes
    ("x86_64", V4 | {"avx512vnni", "amx-tile"}, "avx512"),
    ("aarch64", {"neon"}, "generic"),  # Cortex-A72
    ("aarch64", {"neon", "dotprod", "fullfp16"}, "dotprod"),  # Graviton 2
    ("arm64", {"neon", "dotprod", "fullfp16", "i8mm"}, "i8mm"),  # Apple M2
    ("aarch64", {"neon", "dotprod", "fullfp16", "i8mm", "bf16"}, "i8mm"),  # Graviton 3
    ("riscv64", {"v"}, "generic"),
]


@pytest.mark.parametrize(("machine", "features", "rung"), PROCESSORS)
def test_a_machine_gets_the_best_rung_that_it_reaches(machine, features, rung):
    assert choose_rung(features, {}, machine).name == rung
    assert choose_rung(features, {"LEPTON_CPU": ""}, machine).name == rung


@pytest.mark.parametrize("rung", X86[1:])  # the first needs the system's permission
def test_the_variable_lowers_the_rung(rung):
    everything = V4 | {"avx512vnni", "avx512bf16", "avxvnni"}
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
    if rung.dot_bf16:
        rung.dot_bf16(builder, f32, i32, i32)
    if tiles := rung.matrix_tile:
        sums, x, w = SUMS[0], ACTIVATIONS[0], WEIGHTS[0]
        tiles.configure(builder, 32)
        tiles.zero(builder, sums)
        tiles.load(builder, x, 32, I64(0), I64(64))
        tiles.multiply(builder, sums, x, w, 32)
        tiles.multiply_bf16(builder, sums, x, w)
        tiles.store(builder, sums, I64(0), I64(64))
        tiles.release(builder)
    if rung.multiply_pairs:
        sums, levels = ir.VectorType(I32, 4), ir.Constant(ir.VectorType(I8, 16), [0] * 16)
        rung.multiply_pairs(builder, ir.Constant(sums, [0] * 4), levels, levels)
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


LOWER = [  # the best one is what all other tests run on
    *(pytest.param(name, marks=pytest.mark.weekly) for name in NAMES[1:-1]),
    *NAMES[1:][-1:],
]


@pytest.mark.parametrize("name", LOWER)
def test_intrinsics_mean_the_same_on_every_rung(name):
    done = with_rung(name, "-m", "pytest", "tests/ops/test_simd.py")
    assert done.returncode == 0, done.stdout + done.stderr


def products_equal_the_reference(rung: str, cases: str) -> None:
    done = with_rung(rung, "-m", "pytest", "-k", cases, "tests/ops/test_operators.py")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES[1:][-1:])
def test_some_products_equal_the_reference_on_the_lowest_rung(name):
    products_equal_the_reference(name, "test_linear_and_embed and (Q8_0 or Q4_K)")


@pytest.mark.weekly  # each compiles all products, for a minute
@pytest.mark.parametrize("name", NAMES[1:])
def test_products_equal_the_reference_on_every_rung(name):
    products_equal_the_reference(name, "linear")


def test_a_process_that_compiles_its_own_kernels_does_so_for_the_rung():
    """As on macOS; the target machine shows in the kernel."""
    script = (
        "from pathlib import Path; from ops.cpu import objects; objects.STORES_OBJECTS = False\n"
        "store = objects.ObjectStore(Path('nowhere'), lambda compiling: None)\n"
        "store.address('nothing')\n"
        "print([store._owners[0]._library.codegen._tm_features])"
    )
    done = with_rung("generic", "-c", script)
    *_, lowest = ladder()
    assert done.stdout == f"[{lowest.features!r}]\n", done.stderr


@pytest.mark.parametrize("name", [NAMES[0], *LOWER])
def test_the_built_in_model_greets_on_every_rung(name):
    done = with_rung(name, "-m", "lepton_cli", "run", "builtin", "hi", "-n", "3", "--temp", "0")
    assert (done.returncode, done.stdout) == (0, "Hello! I\n"), done.stderr


def assembly(rung: Rung, kernel: str) -> str:
    target = {"NUMBA_CPU_NAME": rung.processor, "NUMBA_CPU_FEATURES": rung.features}
    script = str(ROOT / "tests" / "support" / "rung_assembly.py")
    environment = {**os.environ, **target, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    made = subprocess.run(
        [sys.executable, script, kernel], env=environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


OTHERS = [
    pytest.param(kernel, marks=pytest.mark.weekly) for kernel in ("linear_Q4_0", "linear_Q4_K")
]


@pytest.mark.parametrize("kernel", ["linear_Q8_0", *OTHERS])
def test_arm_kernels_use_the_dot_product(kernel):
    assert re.search(r"\b(sdot|udot|usdot)\s+v\d+\.4s", assembly(DOTPROD, kernel))


@pytest.mark.weekly
@pytest.mark.parametrize("kernel", ["linear_Q4_0", "linear_Q6_K"])
def test_several_tokens_are_multiplied_in_pairs_without_calls(kernel):
    """8 pairs of rows by 4 groups of 8 columns are a loop's body, with the scaling of the sums."""
    text = assembly(I8MM, kernel)
    assert re.search(r"\bsdot\s+v\d+\.4s", text)  # one token
    first, *_, last = (match.end() for match in re.finditer(r"\tsmmla\tv\d+\.4s", text))
    bodies = re.split(r"\tb\.\w+\t|\tcbn?z\t", text[first:last])
    found = [body.count("\tsmmla\t") for body in bodies if "\tsmmla\t" in body]
    assert found == [31, *[32] * (len(found) - 1)]  # the first one ends before the text begins
    assert "\tfmla\t" in text[first:last] and not re.search(r"\tblr?\t", text[first:last])


@pytest.mark.weekly
def test_products_of_bf16_keep_their_sums_in_registers():
    bodies = re.split(r"^\.L\w+:", assembly(AVX512BF16, "linear_BF16"), flags=re.M)
    tile = 2 * 2 * AVX512BF16.tokens  # panels, chains, tokens
    loops = [body for body in bodies if body.count("\tvdpbf16ps\t") == tile]
    assert loops and not re.search(r"zmm.*\(%r[sb]p\)|\(%r[sb]p\).*zmm", loops[0])


OVERLAPPED = [  # 16 tokens, and 32; after each step some of the sums before are scaled
    "load load product, load product, store, store,",
    "load load product, load product, load product, product, store, store, store, store,",
]


def tile_steps(text: str) -> Iterator[str]:
    """What each function with tiles and arithmetic does in turn: `,` stands for arithmetic."""
    names = {"tileloadd": "load", "tdpbsud": "product", "tilestored": "store"}
    for body in re.findall(r"^\S+:\n((?:(?!\.Lfunc_end).*\n)+)", text, re.M):
        words = re.findall(r"^\t(tileloadd|tdpbsud|tilestored|vfmadd)", body, re.M)
        told = re.sub(r"( ,)+", ",", " ".join(names.get(word, ",") for word in words))
        if "product," in told:
            assert not re.search(r"\(%r[sb]p.*[yz]mm|[yz]mm.*\(%r[sb]p", body), "it spills"
            yield told


@pytest.mark.weekly
@pytest.mark.parametrize("kernel", ["linear_Q4_K", "expert_linear_Q6_K"])  # one scale, and two
def test_amx_kernels_multiply_tiles_between_the_steps_of_scaling(kernel):
    text = assembly(AMX, kernel)
    assert [text.count(f"\t{word}") for word in ("ldtilecfg", "tilerelease")] == [1, 1]
    assert sorted(tile_steps(text), key=len) == OVERLAPPED


@pytest.mark.weekly
@pytest.mark.parametrize(("kernel", "steps"), [("linear_BF16", 1), ("expert_linear_F16", 3)])
def test_amx_kernels_of_plain_numbers_keep_their_sums_in_tiles(kernel, steps):
    """Between a load and a store of the sums of 32 or 16 rows there are products alone."""
    text = assembly(AMX, kernel)
    assert [text.count(f"\t{word}") for word in ("ldtilecfg", "tilerelease")] == [1, 1]
    loops = [body.split() for body in re.split(r"^\.L\w+:", text, flags=re.M)]
    words = [[word for word in body if word in ("tileloadd", "tdpbf16ps")] for body in loops]
    block_32 = "tileloadd tileloadd tdpbf16ps tileloadd tdpbf16ps tileloadd tdpbf16ps tdpbf16ps"
    block_16 = "tileloadd tileloadd tdpbf16ps tileloadd tdpbf16ps"
    for block in (block_32, block_16):
        assert (block.split() * steps) in words
    assert text.count("\ttilestored") == 2 * (4 + 2)  # weights are unpacked before, or meanwhile


@pytest.mark.parametrize(
    ("kernel", "instruction"),
    [
        ("limit_multiply", "tdpbsud"),
        pytest.param("limit_multiply_bf16", "tdpbf16ps", marks=pytest.mark.weekly),
    ],
)
def test_the_meter_of_amx_multiplies_whole_tiles_without_zeroing_them(kernel, instruction):
    text = assembly(AMX, kernel)
    assert (
        text.count(f"\t{instruction}") == text.count("\ttileloadd") > 0 and "tilezero" not in text
    )


# --- permission for the tiles


AMX_CPU = V4 | {"avx512vnni", "amx-tile", "amx-int8", "amx-bf16"}


@pytest.fixture
def linux(monkeypatch) -> Callable[[str | None], None]:
    """Makes Linux refuse tiles with this error, or grant them."""
    monkeypatch.setattr(sys, "platform", "linux")
    return lambda error: monkeypatch.setattr(amx, "_requested", lambda: error)


def test_a_cpu_with_tiles_gets_them_unless_a_lower_rung_is_asked_for(linux):
    linux(None)
    assert choose_rung(AMX_CPU, {}, "x86_64") is AMX
    assert choose_rung(AMX_CPU, {"LEPTON_CPU": "avx512"}, "x86_64") is AVX512
    assert choose_rung(AMX_CPU - {"amx-tile"}, {}, "x86_64") is AVX512  # the hypervisor hides them


def test_a_system_that_refuses_tiles_leaves_avx512_and_says_why(linux):
    linux("Operation not supported")
    assert choose_rung(AMX_CPU, {}, "x86_64") is AVX512
    reason = "the system does not let this process use AMX (Operation not supported)"
    assert obstacle(AMX, AMX_CPU) == reason
    with pytest.raises(UsageError, match="LEPTON_CPU is 'amx'") as refused:
        choose_rung(AMX_CPU, {"LEPTON_CPU": "amx"}, "x86_64")
    assert refused.value.hint == "this CPU can run avx512, avx2, generic"


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_tiles_are_used_on_linux_only(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    assert "does not let this process use AMX" in obstacle(AMX, AMX_CPU)


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="a call of x86-64 Linux"
)
def test_linux_is_asked_for_the_tiles():
    """A kernel that saves the tiles' registers on this CPU grants them; any other one refuses."""
    assert (amx._requested() is None) == ("amx-tile" in host_features())


def test_the_doctor_tells_why_better_instructions_are_not_used(monkeypatch, linux):
    linux("Function not implemented")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("LEPTON_CPU", raising=False)
    monkeypatch.setattr(findings, "host_features", lambda: AMX_CPU)
    assert str(findings._instructions()) == (
        "avx512 (the best of this CPU's: avx512, avx2, generic; not amx: the system does not let "
        "this process use AMX (Function not implemented); "
        "not avx512bf16: the CPU lacks avx512bf16)"
    )
    monkeypatch.setattr(findings, "host_features", lambda: V3)
    assert "; not avxvnni: the CPU lacks avxvnni" in str(findings._instructions())


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({"dotprod", "fullfp16", "i8mm"}, "i8mm (the best of this CPU's: i8mm, dotprod, generic)"),
        (
            {"dotprod", "fullfp16"},
            "dotprod (the best of this CPU's: dotprod, generic; not i8mm: the CPU lacks i8mm)",
        ),
        (
            {"neon"},
            "generic (the best of this CPU's: generic; not i8mm: the CPU lacks dotprod, fullfp16, "
            "i8mm; not dotprod: the CPU lacks dotprod, fullfp16)",
        ),
    ],
)
def test_the_doctor_tells_which_of_arms_instructions_were_found(monkeypatch, features, told):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.delenv("LEPTON_CPU", raising=False)
    monkeypatch.setattr(findings, "host_features", lambda: features)
    assert str(findings._instructions()) == told
