"""T5: buckets of distances, and what its variants hold."""

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of, logits_of

from lepton_cli.engine.loading import plan as loading
from lepton_cli.models.architectures.encoders.t5 import buckets
from quant.errors import ModelFileError
from quant.gguf import GGUF


def test_distances_fall_into_buckets_that_widen():
    """From query to key; 128 and more are alike."""
    distances = np.array([-300, -128, -64, -32, -17, -16, -9, -8, -1, 0, 1, 8, 16, 127, 300])
    both = buckets(distances, 32, one_sided=False).tolist()
    past = buckets(distances, 32, one_sided=True).tolist()
    assert both == [15, 15, 14, 12, 10, 10, 8, 8, 1, 0, 17, 24, 26, 31, 31]
    assert past == [31, 31, 26, 21, 16, 16, 9, 8, 1, 0, 0, 0, 0, 0, 0]


@pytest.fixture
def ids():
    return np.array(ids_of(40), np.int32)


def test_a_layer_may_have_biases_of_its_own(tmp_path, ids):
    shared = logits_of(write_model(tmp_path / "one.gguf", "t5"), ids, "cpu")
    for stack in ("enc", "dec"):
        own = {f"{stack}.blk.1.attn_rel_b.weight": np.zeros((32, 4), np.float32)}
        path = write_model(tmp_path / f"{stack}.gguf", "t5", tensors=own)
        assert not np.allclose(logits_of(path, ids, "cpu"), shared)


def test_the_decoder_may_have_fewer_layers(tmp_path, ids):
    whole = GGUF.open(write_model(tmp_path / "two.gguf", "t5"))
    gone = {name: None for name in whole.tensors if name.startswith("dec.blk.1.")}
    path = write_model(
        tmp_path / "one.gguf", "t5", metadata={"t5.decoder_block_count": 1}, tensors=gone
    )
    program = loading.build(GGUF.open(path), 64)
    assert (program.layers, program.encoder.program.layers) == (1, 2)
    assert np.isfinite(logits_of(path, ids, "cpu")).all()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("attention.relative_buckets_count", 16, "attn_rel_b.weight has 32 rows, not 16"),
        ("attention.relative_buckets_count", 2, "relative_buckets_count is 2"),
        ("decoder_start_token_id", 256, "decoder_start_token_id is 256"),
        ("decoder_block_count", 3, r"dec.blk.2.*missing"),
        ("decoder_block_count", 1, r"dec.blk.1.*not used"),
    ],
)
def test_numbers_that_do_not_fit_the_file_are_refused_by_name(tmp_path, key, value, said):
    path = write_model(tmp_path / "t5.gguf", "t5", metadata={f"t5.{key}": value})
    with pytest.raises(ModelFileError, match=said):
        loading.build(GGUF.open(path), 64)
