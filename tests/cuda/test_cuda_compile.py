"""Kernels become machine code for cards, without spilling, with the instructions meant.

Needs numba-cuda and its compiler, but no card and no driver (`pip install -e '.[cuda]'`).
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import pytest

from ops.cuda.kernels import KERNELS
from ops.cuda.kernels.attention.attend import WIDTHS
from ops.cuda.kernels.formats.weights import PANELS

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
USUAL_ARCHITECTURES = (75, 89, 120)
USUAL_FORMATS = ("Q4_0", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS", "F16", "F32")
USUAL_TYPES = ("f16", "q8_0")  # of keys and values alike
USUAL_WIDTHS = (64, 128, 256)  # of heads
MOST_REGISTERS = 255  # that an instruction can name

pytestmark = pytest.mark.skipif(
    not find_spec("numba_cuda") or not find_spec("cuda"),
    reason="the extra `cuda` is not installed",
)

Compiled = dict[int, tuple[str, int, int]]  # capability: PTX, registers, bytes spilled


def usual_kernels() -> list[str]:
    """Those of each run: one of each kind. The others are tested weekly."""
    rare = "|".join({*PANELS} - {*USUAL_FORMATS} | {"f16_q8_0", "q8_0_f16"})
    widths = "|".join(str(width) for width in WIDTHS if width not in USUAL_WIDTHS)
    return [name for name in KERNELS if not re.search(f"_({rare})(_|$)|_({widths})$", name)]


def compiled(name: str, architectures: tuple[int, ...]) -> Compiled:
    """In a process of its own."""
    from compiled_card import ptx_of

    from ops.cuda.compile import ptx

    kernel = KERNELS[name]
    text, made = ptx_of(name), {}
    for sm in architectures:
        assembled = ptx.assemble(text, kernel, sm)
        assert assembled.code.binary[:4] == b"\x7fELF"
        made[sm] = assembled.ptx, assembled.registers, assembled.spilled
    return made


Chosen = tuple[str, tuple[int, ...]]  # a kernel, and for which cards


@pytest.fixture(scope="module")
def results(request) -> Iterator[dict[Chosen, Future[Compiled]]]:
    """The kernels of the chosen tests, several at once."""
    tests = [item for item in request.session.items if "results" in item.fixturenames]
    chosen = [(test.callspec.params["name"], test.callspec.params["cards"]) for test in tests]
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    context = get_context("spawn")
    paths = partial(sys.path.extend, sys.path)
    with ProcessPoolExecutor(workers, context, initializer=paths) as pool:
        yield {each: pool.submit(compiled, *each) for each in chosen}


FITS = [
    *(pytest.param(name, USUAL_ARCHITECTURES, id=name) for name in usual_kernels()),
    *(
        pytest.param(name, ARCHITECTURES, id=f"{name}-every card", marks=pytest.mark.weekly)
        for name in KERNELS
    ),
]


@pytest.mark.parametrize(("name", "cards"), FITS)
def test_a_kernel_fits_every_card(name, cards, results):
    for sm, (text, registers, spilled) in results[name, cards].result().items():
        assert spilled == 0, f"sm_{sm}: {spilled} bytes"
        assert 0 < registers <= MOST_REGISTERS
        assert registers * KERNELS[name].threads * KERNELS[name].blocks <= 65536, f"sm_{sm}"
        for instruction in expected(name):
            assert instruction in text, f"sm_{sm}"


def expected(name: str) -> Iterator[str]:
    """What a kernel is fast by."""
    if re.match(r"(gated_)?linear_Q\w+_\d$", name):
        yield from ("dp4a.s32.s32", "ld.global.nc.L1::no_allocate.v4")
    elif re.match(r"linear_Q\w+_many", name):
        yield from ("mma.sync.aligned", ".s32.s8.s8.s32")
    elif re.match(r"(gated_)?linear_F16_\w+", name):
        yield from ("mma.sync.aligned", ".f32.f16.f16.f32", ".v4")
    elif name.startswith(("attention_whole_f16_f16", "attention_split_f16_f16")):
        yield from ("mma.sync.aligned", ".f32.f16.f16.f32", "ld.global.nc.v4")


def disassembler() -> str | None:
    """nvdisasm, of the toolkit's wheels or on the path."""
    places = [Path(folder) / "nvidia" for folder in sys.path if (Path(folder) / "nvidia").is_dir()]
    found = [path for place in places for path in place.glob("**/bin/nvdisasm*") if path.is_file()]
    return str(found[0]) if found else None


@pytest.mark.parametrize(
    ("name", "sm", "wanted"),
    [
        ("linear_Q4_0_1", 89, ("IDP.4A.S8.S8", "LDG.E.NA.128")),
        ("linear_Q4_K_8", 75, ("IDP.4A.S8.S8",)),
        ("linear_Q8_0_many", 80, ("IMMA.16832.S8.S8",)),
        ("linear_Q8_0_many", 75, ("IMMA.8816.S8.S8",)),
        ("linear_Q6_K_many", 90, ("IMMA.16816.S8.S8",)),
        ("linear_F16_8", 89, ("HMMA.16816.F32", "LDG.E.NA.128")),
        ("attention_split_f16_f16_128", 120, ("HMMA.16816.F32", "LDG.E.128")),
    ],
)
def test_the_card_gets_the_instructions_meant(name, sm, wanted, tmp_path):
    program = disassembler()
    if program is None:
        pytest.skip("nvdisasm is not here (it comes with cuda-toolkit[nvdisasm])")
    from ops.cuda.compile import ptx

    path = tmp_path / "kernel.cubin"
    path.write_bytes(ptx.compile_kernel(KERNELS[name], sm).code.binary)
    told = subprocess.run([program, "-c", path], capture_output=True, text=True, check=True)
    for instruction in wanted:
        assert instruction in told.stdout, instruction
    assert "STL" not in told.stdout and "LDL" not in told.stdout  # of memory that spilling takes


def test_a_compiling_process_answers_as_the_store_expects(tmp_path):
    from ops.compiled.compiling import Worker, compile_kernels
    from ops.cuda.compile.codes import CodeStore, card_kernels

    class Listening:
        """As much of a card as loading needs."""

        capability = (8, 9)

        def __init__(self) -> None:
            self.codes = {}

        def load(self, name, code) -> None:
            self.codes[name] = code

    heard, cold, warm = [], Listening(), Listening()
    CodeStore(cold, tmp_path, 1, heard.append).prepare(["add", "scale"])
    assert [(one.done, one.total) for one in heard] == [(0, 2), (1, 2), (2, 2)]
    CodeStore(warm, tmp_path, 1, heard.append).prepare(["scale"])
    assert len(heard) == 3 and warm.codes["scale"] == cold.codes["scale"]
    assert cold.codes["scale"].signature == KERNELS["scale"].signature
    assert set(card_kernels(tmp_path, "sm_89").sizes()) == {"add", "scale"}
    again = dict(compile_kernels(["add"], Worker("ops.cuda.compile.worker", ("sm_120",)), 1))
    assert set(again) == {"add"}
