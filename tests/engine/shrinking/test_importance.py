"""Importance by tensor: means, sizes, and the keys that tell of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from lepton_cli.engine.imatrix.files import write_matrix
from lepton_cli.engine.imatrix.matrix import Entry, ImportanceMatrix
from lepton_cli.engine.shrinking.importance import Importance
from quant.errors import UsageError
from quant.format import FORMATS
from quant.gguf import Tensor
from quant.gguf_writer import number, text


def tensor(name: str, *shape: int) -> Tensor:
    return Tensor(name, FORMATS["F32"], shape, np.zeros((1, 4), np.uint8))


def model(*names: str) -> SimpleNamespace:
    return SimpleNamespace(path="m.gguf", tensors=dict.fromkeys(names))


@pytest.fixture(params=["gguf", "dat"])
def importance(request, tmp_path) -> Importance:
    entries = {
        "w": Entry(np.array([[2.0, 4.0]]), np.array([2.0])),
        "experts": Entry(np.array([[2.0, 4.0], [0, 0]]), np.array([2.0, 0])),
    }
    path = tmp_path / "i"
    write_matrix(path, ImportanceMatrix(entries, ("a.txt", "b.txt"), 7, 512), request.param)
    return Importance.read(str(path))


def test_importance_is_the_mean_by_expert_and_column(importance):
    np.testing.assert_array_equal(importance.of(tensor("w", 3, 2)), np.float32([[1, 2]]))
    found = importance.of(tensor("experts", 2, 3, 2))
    np.testing.assert_array_equal(found, np.float32([[1, 2], [1, 1]]))
    assert importance.of(tensor("other", 3, 2)) is None


def test_a_tensor_of_another_size_is_of_another_model(importance):
    with pytest.raises(UsageError, match="w has 2 columns, the model 3"):
        importance.of(tensor("w", 3, 3))
    with pytest.raises(UsageError, match="has no tensor of"):
        importance.check_model(model("other"), ["other"])
    importance.check_model(model("other", "w"), ["other", "w"])


def test_a_matrix_that_lacks_most_tensors_and_has_others_is_of_another_model():
    entry = Entry(np.ones((1, 8)), np.ones(1))
    names = ("blk.0.attn_q", "blk.1.attn_q", "blk.0.ffn_up_exps")
    importance = Importance("i.gguf", ImportanceMatrix(dict.fromkeys(names, entry)))
    llama = [f"blk.{n}.{name}" for n in range(5) for name in ("attn_q", "ffn_up")]
    with pytest.raises(UsageError, match=r"i.gguf has 2 of the 10 tensors of m.gguf, and others"):
        importance.check_model(model(*llama), llama)
    importance.check_model(model(*llama), llama[:4])
    importance.check_model(model(*llama, "blk.0.ffn_up_exps"), llama)  # a matrix of few tensors


def test_the_keys_are_those_of_llama_quantize():
    matrix = ImportanceMatrix({"w": Entry(np.ones((1, 2)), np.ones(1))}, ("a.txt", "b.txt"), 7)
    assert Importance("i.gguf", matrix).pairs() == {
        "quantize.imatrix.file": text("i.gguf"),
        "quantize.imatrix.dataset": text("a.txt"),
        "quantize.imatrix.entries_count": number(1),
        "quantize.imatrix.chunks_count": number(7),
    }
