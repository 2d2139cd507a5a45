"""Which weight formats the CPU's kernels compute with: those with a file in kernels/formats/.

The kernels need Numba, which the process that runs a model does not import.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ops.cpu.instruction_sets.rung import Rung
from quant.format import FORMATS

FOLDER = Path(__file__).parent / "kernels" / "formats"
PACKAGE = "ops.cpu.kernels.formats"


@cache
def kernel_formats() -> Mapping[str, str]:
    """Formats that kernels compute with, by name, and the module of each."""
    files = {file.stem.upper(): file for file in FOLDER.glob("*/*.py")}
    return {
        name: f"{PACKAGE}.{files[name].parent.name}.{files[name].stem}"
        for name in FORMATS
        if name in files
    }


BF16_TERMS = {"BF16": 1, "F16": 2}
"""How many numbers in BF16 have a weight of the format as their sum."""


def bf16_formats(rung: Rung) -> Mapping[str, int]:
    """Those whose products take activations in BF16 on a rung, and as how many terms each."""
    if rung.matrix_tile:
        return BF16_TERMS
    return {"BF16": 1} if rung.dot_bf16 else {}


TWO_SHAPES = frozenset({"IQ4_NL", "MXFP4", "Q4_0", "Q4_1", "Q8_0"})
"""Formats whose products have kernels in two shapes, which give the same bytes: weights are
unpacked as each tile of tokens meets them, or once for many tokens. Which is faster depends on how
many ports of the processor do both (`ops.cpu.measures.shapes`)."""
UNPACKED = ".unpacked"  # how a kernel of the second shape is named
ENCODE = "encode_"  # how the names of encoders begin, which no model runs


@cache
def quantized_formats() -> frozenset[str]:
    """Those whose products take quantized activations."""
    return frozenset(name for name in kernel_formats() if FORMATS[name].block_size > 1)
