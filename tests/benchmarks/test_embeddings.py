"""The benchmark of embeddings: its model is a small encoder that texts can be given to."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shapes
from embeddings import random_texts

import lepton_cli


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Iterator[lepton_cli.Model]:
    path: Path = tmp_path_factory.mktemp("shapes") / "bge.gguf"
    shapes.write_shape("bge-small", path, "Q4_0")
    with lepton_cli.load(path, "cpu") as opened:
        yield opened


def test_the_shape_is_an_encoder_of_33_million_parameters(model):
    assert model.architecture == "bert"
    assert round(model.parameter_count / 1e6) == 33
    vectors = model.embed(["ab cd", "cd ab"])
    assert vectors.shape == (2, 384)
    assert np.isfinite(vectors).all() and not np.array_equal(*vectors)


def test_texts_vary_in_length_and_have_the_models_tokens_around_them(model):
    texts = random_texts(model, 50, 100)
    assert {text[0] for text in texts} == {2} and {text[-1] for text in texts} == {3}
    lengths = [len(text) for text in texts]
    assert 90 <= min(lengths) < max(lengths) <= 110
