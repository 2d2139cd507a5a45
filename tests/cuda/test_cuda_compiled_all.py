"""What the compiler makes of all kernels does what their source says, in all cases: weekly.

See test_cuda_compiled. Needs the extra `cuda`, but no card and no driver.
"""

import pytest
import test_cuda_attention
import test_cuda_compile
import test_cuda_drawing
import test_cuda_merging
import test_cuda_operators
import test_cuda_products
from emulated import VARIABLE
from test_cuda_compiled import as_compiled, cases_of, held_against_their_sources  # noqa: F401
from test_cuda_operators import on_the_card  # noqa: F401  (a fixture, as is the other)

from ops.cuda.kernels import KERNELS
from ops.cuda.kernels.attention.attend import WIDTHS
from ops.cuda.kernels.formats.weights import PANELS
from ops.cuda.kernels.products.epilogue import GATES

pytestmark = [pytest.mark.weekly, test_cuda_compile.pytestmark]
OTHERS = test_cuda_attention, test_cuda_drawing, test_cuda_merging, test_cuda_operators
CASES = cases_of(*OTHERS, test_cuda_products)
del CASES["test_any_types_of_keys_and_values"]  # each width is below
globals().update(CASES)


@pytest.mark.parametrize(("k", "v"), test_cuda_attention.PAIRS)
@pytest.mark.parametrize("width", WIDTHS)
def test_attention_of_each_width(k, v, width, monkeypatch):
    test_cuda_attention.test_any_types_of_keys_and_values(k, v, width, monkeypatch)


@pytest.mark.parametrize("kind", [*PANELS, "F16", "F32"])
@pytest.mark.parametrize(("count", "gate"), [*zip((1, 4, 8), GATES, strict=True)])
def test_gates_of_each_format(kind, count, gate):
    test_cuda_products.test_gates_biases_factors_and_sums(kind, count, gate)


@pytest.mark.parametrize("kind", [*PANELS, "F16"])
def test_products_of_older_cards(kind, monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled-75")
    columns = test_cuda_products.COLUMNS
    test_cuda_products.test_a_row_has_the_same_bits_in_every_kernel(kind, columns)


@pytest.mark.parametrize(("k", "v"), test_cuda_attention.PAIRS)
@pytest.mark.parametrize("width", [64, 128])
def test_attention_of_older_cards(k, v, width, monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled-75")
    test_cuda_attention.test_any_types_of_keys_and_values(k, v, width, monkeypatch)


@pytest.mark.parametrize("kind", ["Q8_0", "F16"])
def test_a_layer_where_the_card_rounds_roughly(kind, monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled-rough")
    test_cuda_operators.test_a_whole_layer(kind)


@pytest.mark.parametrize(("k", "v"), test_cuda_attention.PAIRS)
def test_attention_where_the_card_rounds_roughly(k, v, monkeypatch):
    """And split or not, the same bits."""
    monkeypatch.setenv(VARIABLE, "compiled-rough")
    test_cuda_attention.test_any_types_of_keys_and_values(k, v, 128, monkeypatch)


@pytest.mark.parametrize("kind", ["Q8_0", "F16"])
def test_a_layer_whose_last_warps_go_first(kind, monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled-falling")
    test_cuda_operators.test_a_whole_layer(kind)


def test_drawing_and_experts_whose_last_warps_go_first(monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled-falling")
    test_cuda_drawing.test_drawing_ahead_gives_what_single_steps_give()
    test_cuda_operators.test_gated_experts()


def test_every_kernel_was_held_against_its_source():
    missing = {*KERNELS} - held_against_their_sources()
    assert not missing, "unless only some tests of this file were chosen"
