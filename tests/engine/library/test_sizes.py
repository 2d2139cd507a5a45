"""Sizes as people write them."""

import pytest

from lepton_cli.engine.library.sizes import bytes_of, bytes_of_weights
from quant.errors import UsageError


@pytest.mark.parametrize(
    "text, size",
    [
        ("3.5G", 3_500_000_000),
        ("700 MB", 700_000_000),
        ("1.5GiB", 3 << 29),
        ("2k", 2000),
        ("1KiB", 1024),
        ("12345", 12345),
        (".5M", 500_000),
        ("1TB", 10**12),
    ],
)
def test_sizes_are_read_in_powers_of_1000_or_of_1024(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "-1G", "1.5.2G", "3 GX", "1iB", "0", "0.0001", "nan", "1e9"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="is no size"):
        bytes_of(text)


def test_a_size_may_be_given_in_bits_a_weight():
    assert bytes_of_weights("4.5bpw", 1_000_000) == 562_500
    assert bytes_of_weights("3 BPW", 800) == 300
    assert bytes_of_weights("2G", 800) == 2_000_000_000
    with pytest.raises(UsageError, match="is no size"):
        bytes_of_weights("0bpw", 800)
