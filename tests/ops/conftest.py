"""Each test draws the same numbers, whatever ran before it."""

import pytest
import test_operators


@pytest.fixture(autouse=True)
def _drawn_anew():
    test_operators.RANDOM.bit_generator.state = test_operators.START
