"""What the compiler makes of kernels does what their source says: to the same bytes.

Cases of the other files run on a card whose launches are run twice, by the emulator of blocks and
by a machine for PTX. Here they reach each usual kernel, in test_cuda_compiled_all each one. Needs
the extra `cuda`, but no card and no driver.
"""

from collections.abc import Callable
from types import FunctionType, ModuleType

import pytest
import test_cuda_attention
import test_cuda_compile
import test_cuda_drawing
import test_cuda_merging
import test_cuda_operators
import test_cuda_products
from emulated import VARIABLE
from test_cuda_compile import USUAL_FORMATS, USUAL_TYPES, USUAL_WIDTHS, usual_kernels
from test_cuda_operators import on_the_card  # noqa: F401  (a fixture of its cases)

from ops.cuda.kernels.products.epilogue import GATES

pytestmark = test_cuda_compile.pytestmark


def cases_of(*modules: ModuleType) -> dict[str, Callable[..., None]]:
    return {
        name: case
        for module in modules
        for name, case in vars(module).items()
        if name.startswith("test_") and isinstance(case, FunctionType)
    }


CASES = cases_of(test_cuda_operators)
for _slow in ("test_embed_and_linear", "test_experts", "test_a_whole_layer"):
    del CASES[_slow]
globals().update(CASES)


@pytest.fixture(autouse=True)
def as_compiled(monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, "compiled")


@pytest.mark.parametrize("kind", USUAL_TYPES)
@pytest.mark.parametrize("width", USUAL_WIDTHS)
def test_attention_of_usual_widths(kind, width, monkeypatch):
    test_cuda_attention.test_any_types_of_keys_and_values(kind, kind, width, monkeypatch)


@pytest.mark.parametrize("kind", USUAL_FORMATS)
@pytest.mark.parametrize(("count", "gate"), [*zip((1, 4, 8), GATES, strict=True)])
def test_gates_of_usual_formats(kind, count, gate):
    test_cuda_products.test_gates_biases_factors_and_sums(kind, count, gate)


@pytest.mark.parametrize("kind", [*USUAL_FORMATS, "BF16"])  # the last one is converted
def test_rows_of_usual_formats(kind):
    test_cuda_operators.test_embed_and_linear(kind)


@pytest.mark.parametrize("kind", [kind for kind in USUAL_FORMATS if kind != "F32"])
def test_products_of_usual_formats(kind):
    columns = test_cuda_products.COLUMNS
    test_cuda_products.test_a_row_has_the_same_bits_in_every_kernel(kind, columns)


def test_a_merged_layer():
    test_cuda_merging.test_a_merged_layer_means_the_same(("Q8_0",) * 3, 1, 0)


def test_experts_of_several_tokens():
    test_cuda_operators.test_experts("softmax", True, 5, 2, 3)


@pytest.mark.parametrize("sampling", test_cuda_drawing.SETTINGS[:1])
def test_the_card_draws_as_the_host_does(sampling):
    test_cuda_drawing.test_the_card_draws_as_the_host_does(sampling)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K", "F16"])
def test_products_of_older_cards(kind, monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled-75")
    columns = test_cuda_products.COLUMNS
    test_cuda_products.test_a_row_has_the_same_bits_in_every_kernel(kind, columns)


@pytest.mark.parametrize("kind", USUAL_TYPES)
def test_attention_of_older_cards(kind, monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled-75")
    test_cuda_attention.test_any_types_of_keys_and_values(kind, kind, 64, monkeypatch)


@pytest.mark.parametrize("way", ["rough", "falling"])
def test_a_layer_where_the_card_rounds_roughly_or_its_last_warps_go_first(way, monkeypatch):
    monkeypatch.setenv(VARIABLE, f"compiled-{way}")
    test_cuda_operators.test_a_whole_layer("Q8_0")


def held_against_their_sources() -> set[str]:
    """The kernels of the tests before."""
    from compiled_card import NEWER, CompiledDevice

    return {name for name, sm in CompiledDevice.same if sm == NEWER}


def test_every_usual_kernel_was_held_against_its_source():
    missing = {*usual_kernels()} - held_against_their_sources()
    assert not missing, "unless only some tests of this file were chosen"
