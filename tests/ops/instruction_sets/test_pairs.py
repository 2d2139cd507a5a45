"""Products by pairs of rows and tokens give the same bytes as by dots: by a model of SMMLA."""

import pytest
from pair_model import pair_kernels
from passes import resources
from test_tiles import check, dense, experts

from ops.cpu.formats import quantized_formats
from ops.cpu.objects import ObjectStore

COUNTS = 1, 2, 5, 19  # tokens


@pytest.fixture(scope="module")
def both():
    """This machine's kernels, and those that multiply pairs."""
    allowed = resources()
    store = ObjectStore(allowed.kernels, allowed.on_compile)
    return store, pair_kernels(store)


def test_a_dense_product_by_pairs_gives_the_same_bytes(both):
    check(both, dense("Q4_K"), COUNTS)
    assert list(both[1].compiled) == ["linear_Q4_K"]


@pytest.mark.weekly
def test_products_of_experts_by_pairs_give_the_same_bytes(both):
    check(both, experts("Q6_K"), (1, 20))
    assert "gated_expert_linear_Q6_K_silu" in both[1].compiled


@pytest.mark.weekly
@pytest.mark.parametrize("kind", sorted(quantized_formats()))
def test_pairs_give_the_same_bytes_for_every_format(both, kind):
    check(both, dense(kind), COUNTS)
