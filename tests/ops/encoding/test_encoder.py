"""Encoders write what llama.cpp's quantizer writes, byte for byte.

The digests are those of its `ggml_quantize_chunk` for the same made-up weights.
"""

import hashlib

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from passes import FEW, kernel_folder

from ops.encoding.encoder import ENCODED, Encoder, Rows
from ops.encoding.grids import DISTANCES, grid_of
from quant.errors import ModelFileError
from quant.format import FORMATS, dequantize

N, R = 768, 3
DIGESTS = {
    "BF16": ("e3d3afa0d0e1b394", "e3d3afa0d0e1b394"),
    "F16": ("6ac3ad4e2e2818af", "6ac3ad4e2e2818af"),
    "IQ1_M": ("", "b6f623ef62cc51f2"),
    "IQ1_S": ("", "d98d1f564b313988"),
    "IQ2_S": ("8ed0a37325e1a97e", "53490da689cadff4"),
    "IQ2_XS": ("", "a527bddba633ddac"),
    "IQ2_XXS": ("", "a7630a01a755e993"),
    "IQ3_S": ("3b8bcade1e46b905", "24ce1c311536a39d"),
    "IQ3_XXS": ("87f64888734c447d", "36803a4e1a000c99"),
    "IQ4_NL": ("029039e6d6b6ec80", "455fb2a1304c9220"),
    "IQ4_XS": ("d6969ab93cb8969b", "1cdd83f5cf30bfc2"),
    "MXFP4": ("788b3facaca3315f", "788b3facaca3315f"),
    "NVFP4": ("2731f0e670d99102", "2731f0e670d99102"),
    "Q1_0": ("7383f00668a08f6c", "7383f00668a08f6c"),
    "Q2_0": ("02e0e8f818debf48", "02e0e8f818debf48"),
    "Q2_K": ("7373bf019611eea9", "2e5ed19f3da74d23"),
    "Q3_K": ("dd6cc5e9c0230328", "6a355720ab9deda5"),
    "Q4_0": ("6aef29d9dfad0938", "5ae15c2179ac9a06"),
    "Q4_1": ("52618514c2bdc82e", "5ca977a60f09e67d"),
    "Q4_K": ("26c9b6afa7e29193", "b33097bcb2b5d4d4"),
    "Q5_0": ("f654ddfda8f2056a", "e09fb03da5cf145e"),
    "Q5_1": ("fc423570b5b37aa7", "4db34c49b1d409cd"),
    "Q5_K": ("65b0f0a0b1d4a41d", "3866667d692aa3d3"),
    "Q6_K": ("75ab8e952c703de2", "1372fdf0a7da1981"),
    "Q8_0": ("ea3d2eb98c841dca", "ea3d2eb98c841dca"),
    "TQ1_0": ("f73266b885502960", "f73266b885502960"),
    "TQ2_0": ("b99a7404883ba0b1", "b99a7404883ba0b1"),
}
"""Without importance, where the reference encodes without, and with."""


def noise(count: int, a: int, b: int) -> np.ndarray:
    """Numbers from -1 to 1 that no library's generator makes."""
    n = np.arange(count, dtype=np.uint64)
    return (n * n * np.uint64(a) + n * np.uint64(b)) % np.uint64(65521) / 32760.5 - 1


def weights() -> np.ndarray:
    """Among them a block of zeros, zeros in a block, an outlier, a block of negative ones."""
    x = 0.1 * noise(R * N, 40503, 26544) ** 3
    x[100:140], x[512:544], x[1300] = 0, 0, 2
    x[1024:1056] = -np.abs(x[1024:1056])
    return x.astype(np.float32).reshape(R, N)


def importance() -> np.ndarray:
    return (noise(N, 7919, 10472) ** 4 + 0.001).astype(np.float32)


@pytest.fixture(scope="module")
def encoder():
    with Encoder(kernel_folder(), 2, lambda compiling: None) as made:
        yield made


def rows_of(x: np.ndarray, kind: str = "F32") -> Rows:
    return Rows("w", FORMATS[kind], x.shape[1], np.ascontiguousarray(x).view(np.uint8))


USUAL = FEW - {"IQ2_XS"} | {"IQ3_XXS"}  # of those that search a grid, one that compiles fast
CASES = [
    pytest.param(kind, weighted, marks=[] if kind in USUAL else pytest.mark.weekly)
    for kind in sorted(ENCODED)
    for weighted in (False, True)
    if DIGESTS[kind][weighted]
]


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_the_bytes_are_those_of_the_reference(encoder, kind, weighted):
    out = encoder.encode(FORMATS[kind], rows_of(weights()), importance() if weighted else None)
    digest = hashlib.sha256(out.tobytes()).hexdigest()[:16]
    assert digest == DIGESTS[kind][weighted], dequantize(FORMATS[kind], out)


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "TQ1_0", "BF16"])
def test_the_bytes_are_those_of_the_gguf_package(encoder, kind):
    out = encoder.encode(FORMATS[kind], rows_of(weights()))
    theirs = quants.quantize(weights(), GGMLQuantizationType[kind])
    np.testing.assert_array_equal(out, theirs.view(np.uint8))


@pytest.mark.weekly
def test_scales_of_nvfp4_from_256_on_are_the_highest(encoder):
    x = np.zeros((1, 64), np.float32)
    x[0, ::16] = 6 * np.float32([255, 256, 400, 1000])
    assert encoder.encode(FORMATS["NVFP4"], rows_of(x))[0, :4].tolist() == [126, 126, 126, 126]
    x /= 16
    assert encoder.encode(FORMATS["NVFP4"], rows_of(x))[0, :4].tolist() == [88, 88, 93, 104]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_bytes_do_not_depend_on_threads_or_on_how_rows_are_divided(
    encoder, threads, monkeypatch
):
    x = np.tile(weights(), (4, 1))
    whole = encoder.encode(FORMATS["Q4_K"], rows_of(x), importance())
    monkeypatch.setattr("ops.encoding.encoder.AT_ONCE", 2 * N)
    with Encoder(kernel_folder(), threads, lambda compiling: None) as other:
        np.testing.assert_array_equal(
            other.encode(FORMATS["Q4_K"], rows_of(x), importance()), whole
        )


def test_weights_of_another_format_are_those_that_it_means(encoder):
    raw = encoder.encode(FORMATS["Q8_0"], rows_of(weights()))
    again = encoder.encode(FORMATS["Q4_0"], Rows("w", FORMATS["Q8_0"], N, raw))
    meant = encoder.encode(FORMATS["Q4_0"], rows_of(dequantize(FORMATS["Q8_0"], raw)))
    np.testing.assert_array_equal(again, meant)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(encoder, value):
    x = weights()
    x[1, 5] = value
    with pytest.raises(ModelFileError, match="w holds NaN or Inf"):
        encoder.encode(FORMATS["Q4_0"], rows_of(x))


@pytest.mark.parametrize("kind", ["F16", "Q4_0"])
def test_weights_beyond_an_f16_are_refused(encoder, kind):
    with pytest.raises(ModelFileError, match=f"too large for {kind}"):
        encoder.encode(FORMATS[kind], rows_of(weights() * np.float32(1e6)))


@pytest.mark.parametrize("name", ["IQ2_XXS", "IQ3_S"])
def test_a_group_that_is_no_entry_has_the_entries_at_the_shortest_distances(name):
    grid = grid_of(name)
    width, base = grid.levels.shape[1], int(grid.levels.max()) + 1
    powers = base ** np.arange(width)
    numbers = grid.levels.astype(int) @ powers
    np.testing.assert_array_equal(grid.map[numbers, 0], np.arange(len(grid.levels)))
    for group in np.flatnonzero(grid.map[:, 1])[::97]:
        first, chunks = -1 - grid.map[group, 0], grid.map[group, 1]
        near = grid.numbers[first : first + chunks].ravel()
        levels = group // powers % base
        distance = np.square(grid.levels.astype(int) - levels).sum(1)
        wanted = np.unique(distance)[: DISTANCES[name]]
        assert set(near) == set(np.flatnonzero(np.isin(distance, wanted)))
        assert (np.diff(distance[near[: len(set(near))]]) >= 0).all()
