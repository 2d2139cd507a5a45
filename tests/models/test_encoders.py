"""Encoders and rerankers: llama.cpp's rows and vectors, made-up models, heads."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of, logits_of, nmse
from presets_encoders import ENCODERS

import lepton_cli
from lepton_cli.engine.loading import plan as loading
from lepton_cli.models.registry import ARCHITECTURES, decoder_class
from quant.errors import ModelFileError
from quant.gguf import GGUF

CAUSAL = ("more/qwen3-embed", "more/qwen3-rank")
ENCODED = sorted(
    each
    for name, entry in ARCHITECTURES.items()
    for each in entry.recordings
    if not decoder_class(name).generates
)
TOLERANCE = {"reference": 1e-10, "cpu": 1e-8}
GELU_TABLE = 1e-6  # llama.cpp looks GELU up in half precision
COSINE = 0.99999


@dataclass(frozen=True)
class Recording:
    """A file, and what llama.cpp computed of it."""

    path: Path
    ids: list[int]
    tokens: np.ndarray  # (T, D), without pooling
    vector: np.ndarray  # by the file's own pooling

    @property
    def uses_gelu(self) -> bool:
        file = GGUF.open(self.path)
        operations = loading.build(file, loading.trained_context(file)).operations
        return any(getattr(op, "activation", None) == "gelu" for op in operations)


@pytest.fixture
def recording(shared_data, request) -> Recording:
    archive, name = request.param.split("/")
    path = shared_data(archive) / f"{name}.gguf"
    arrays = np.load(path.with_suffix(".npz"))
    return Recording(path, arrays["ids"].tolist(), arrays["tokens"], arrays["embeddings"])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("recording", [*ENCODED, *CAUSAL], indirect=True)
def test_rows_and_vectors_agree_with_llama_cpp(recording, backend):
    tolerance = GELU_TABLE if recording.uses_gelu else TOLERANCE[backend]
    with lepton_cli.load(recording.path, backend, kv="f32", pooling="none") as model:
        rows = model.embed([recording.ids], normalize=False)
    with lepton_cli.load(recording.path, backend, kv="f32") as model:
        [vector] = model.embed([recording.ids], normalize=False)
    assert nmse(rows, recording.tokens) < tolerance
    assert nmse(vector, recording.vector) < tolerance
    lengths = np.linalg.norm(vector) * np.linalg.norm(recording.vector)
    assert vector @ recording.vector / lengths > COSINE


def test_texts_become_the_ids_that_llama_cpp_reads(shared_data):
    path = shared_data("more") / "bert-cls.gguf"
    recorded = np.load(path.with_suffix(".npz"))
    ends = np.cumsum(recorded["text_lengths"])
    ids = [part.tolist() for part in np.split(recorded["text_ids"], ends[:-1])]
    with lepton_cli.load(path) as model:
        read = model.embeddings.sequences()
        assert [read.of(str(text)) for text in recorded["texts"]] == ids


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Gives the path of a small random encoder, made once."""
    folder, paths = tmp_path_factory.mktemp("encoders"), {}

    def make(preset: str) -> Path:
        if preset not in paths:
            paths[preset] = write_model(folder / f"{preset}.gguf", preset, seed=3)
        return paths[preset]

    return make


@pytest.mark.parametrize("preset", sorted(ENCODERS))
def test_vectors_on_the_cpu_are_the_references(made, preset):
    found = []
    for backend in ("reference", "cpu"):
        with lepton_cli.load(made(preset), backend, kv="f32") as model:
            found.append(model.embed([ids_of(20), ids_of(5, 1)], normalize=False))
    assert nmse(found[1], found[0]) < 1e-9
    assert not np.allclose(found[0][0], found[0][1])


def test_a_file_with_matrices_that_no_encoder_has_is_refused(tmp_path):
    path = write_model(tmp_path / "odd.gguf", "bert", tensors={"blk.0.attn_norm.weight": "D"})
    with pytest.raises(ModelFileError, match=r"attn_norm\.weight is not used"):
        lepton_cli.load(path)


def test_every_token_of_an_encoder_sees_those_behind_it(made):
    ids = ids_of(20)
    changed = [*ids[:-1], (ids[-1] + 1) % 250]
    for preset, sees in (("bert", True), ("qwen2-uncausal", True), ("qwen3-embed", False)):
        with lepton_cli.load(made(preset), pooling="cls") as model:
            first, other = model.embed([ids, changed])
        assert np.array_equal(first, other) != sees


def test_layers_of_an_encoder_keep_keys_and_values_in_one_place(made):
    for preset, places in (("bert", 1), ("modern-bert", 1), ("qwen2-uncausal", 1), ("llada", 1)):
        assert len(loading.build(GGUF.open(made(preset)), 64).pages) == places
    assert len(loading.build(GGUF.open(made("qwen3-embed")), 64).pages) == 2
    with lepton_cli.load(made("bert"), "cpu") as model:
        layer = model.context_size * 4 * (16 + 16) * 2  # heads of 16 keys and values, in f16
        assert model.plan.cache == layer


def test_a_window_lies_on_both_sides_of_a_token(made):
    """Layers 1 and 2 of 4 see 8 // 2 tokens either way, layers 0 and 3 all."""
    file = GGUF.open(made("modern-bert"))
    heads = [
        op.heads
        for op in loading.build(file, 64).operations
        if hasattr(op, "heads") and hasattr(op, "q")
    ]
    assert [each.window for each in heads] == [None, 8, 8, None]
    position, end = np.array([20]), np.array([40])
    assert [int(each[0]) for each in heads[1].visible(position, end)] == [16, 25]


def test_a_second_norm_of_attention_adds_what_entered_once_more(made, tmp_path):
    """With weights of 0 and a bias of 0 in the first norm, the second sees what entered alone."""
    nothing = {
        f"blk.{n}.attn_output_norm.{kind}": np.zeros(64, np.float32)
        for n in range(2)
        for kind in ("weight", "bias")
    }
    path = write_model(tmp_path / "code.gguf", "jina-bert-v2-code", seed=3, tensors=nothing)
    ids = np.array(ids_of(6), np.int32)
    assert nmse(logits_of(path, ids, "cpu"), logits_of(made("jina-bert-v2-code"), ids, "cpu")) > 0.1
    alone = [logits_of(path, ids[n : n + 1], "reference")[0] for n in (0, 5)]
    together = logits_of(path, ids, "reference")
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-4, atol=1e-4)


def test_a_score_is_the_judging_heads_number_for_the_first_row(made):
    ids = ids_of(9)
    with lepton_cli.load(made("bert-rank"), "reference", kv="f32", pooling="cls") as model:
        [row] = model.embed([ids], normalize=False)
    with lepton_cli.load(made("bert-rank"), "reference", kv="f32") as model:
        [[score]] = model.embed([ids], normalize=False)
    tensors = GGUF.open(made("bert-rank")).tensors
    w = {
        name: tensors[name].data.view(np.float32).reshape(tensors[name].shape)
        for name in ("cls.weight", "cls.bias", "cls.output.weight", "cls.output.bias")
    }
    dense = np.tanh(w["cls.weight"] @ row + w["cls.bias"])
    assert score == pytest.approx((w["cls.output.weight"] @ dense + w["cls.output.bias"])[0], 1e-4)


def test_scores_of_a_qwen_reranker_are_shares_of_its_labels(made):
    with lepton_cli.load(made("qwen3-rank")) as model:
        scores = model.embed([ids_of(9), ids_of(4, 2)], normalize=False)
    assert scores.shape == (2, 2)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-6)
