"""Encoding of weights beside llama.cpp's quantizers, in CPU seconds of one thread; and the bytes.

    python benchmarks/parts/encoding.py FORMAT... --python ~/peer/bin/python

A matrix of normally distributed weights; the least of --rounds, both sides in turn.
"""

import argparse
import ctypes
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lepton_cli.engine.library.paths import kernel_folder
from ops.encoding.encoder import ENCODED, Encoder, Rows
from quant.format import FORMATS, Format, row_bytes

WHERE = "import llama_cpp, os; print(os.path.dirname(llama_cpp.__file__))"
NEEDS_IMPORTANCE = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S")


def quantizers(python: str) -> ctypes.CDLL:
    """llama.cpp's library, of another Python's package."""
    found = subprocess.run([python, "-c", WHERE], capture_output=True, text=True, check=True)
    library = ctypes.CDLL(str(Path(found.stdout.strip(), "lib", "libggml-base.so")))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    return library


def theirs(library: ctypes.CDLL, kind: Format, weights: np.ndarray, importance) -> np.ndarray:
    """(R, row bytes)"""
    rows, columns = weights.shape
    out = np.empty((rows, row_bytes(kind, columns)), np.uint8)
    arrays = [ctypes.c_void_p(weights.ctypes.data), ctypes.c_void_p(out.ctypes.data)]
    sizes = [ctypes.c_int64(0), ctypes.c_int64(rows), ctypes.c_int64(columns)]
    given = ctypes.c_void_p(None if importance is None else importance.ctypes.data)
    library.ggml_quantize_chunk(ctypes.c_int(kind.id), *arrays, *sizes, given)
    return out


def measured(library: ctypes.CDLL, encoder: Encoder, kind: Format, given) -> str:
    """A row of the table."""
    draw = np.random.default_rng(0)
    weights = draw.standard_normal((given.rows, given.columns), np.float32)
    importance = None
    if given.importance or kind.name in NEEDS_IMPORTANCE:
        importance = draw.random(given.columns, np.float32) + np.float32(0.1)
    source = Rows("made", FORMATS["F32"], given.columns, weights.view(np.uint8))
    seconds, same = ([], []), True
    for _ in range(given.rounds):
        begin = time.process_time()
        one = theirs(library, kind, weights, importance)
        middle = time.process_time()
        other = encoder.encode(kind, source, importance)
        seconds[0].append(middle - begin)
        seconds[1].append(time.process_time() - middle)
        same = same and bool((one == other).all())
    peer, own = map(min, seconds)
    return (
        f"| {kind.name} | {peer:.3f} | {own:.3f} | {peer / own:.2f}x | {'yes' if same else 'NO'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("formats", nargs="*", default=["Q4_0", "Q4_K", "Q6_K", "Q8_0", "IQ4_XS"])
    parser.add_argument("--python", default=sys.executable, help="a Python with llama-cpp-python")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--importance", action="store_true")
    given = parser.parse_args()
    names = [name.upper() for name in given.formats]
    unknown = [name for name in names if name not in ENCODED]
    if unknown:
        parser.error(f"no encoder for {unknown[0]}: {', '.join(sorted(ENCODED))}")
    library, kinds = quantizers(given.python), [FORMATS[name] for name in names]
    print("| format | llama.cpp, s | Lepton, s | speed | same bytes |\n|---|---:|---:|---:|---|")
    with Encoder(kernel_folder(), 1, lambda compiling: None) as encoder:
        encoder.prepare(kinds)
        for kind in kinds:
            print(measured(library, encoder, kind, given), flush=True)


if __name__ == "__main__":
    main()
