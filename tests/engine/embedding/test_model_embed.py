"""`Model.embed` and `Model.rerank`: the same bytes in any batch, pooling, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of

import lepton_cli
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from quant.errors import ContextOverflowError, ModelFileError, UsageError

LENGTHS = (1, 7, 200, 30, 2, 90, 64, 33, 5, 128)
TEXTS = [ids_of(length, seed) for seed, length in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


def model_of(folder: Path, preset: str, pooling="file", ubatch=256, threads=2):
    path = folder / f"{preset}.gguf"
    if not path.exists():
        write_model(path, preset, seed=5)
    options = LoadOptions("cpu", threads=threads, ubatch=ubatch, pooling=pooling)
    return open_model(path, options)


@pytest.mark.parametrize("preset", ["bert", "modern-bert", "gemma-embedding", "qwen3-embed"])
def test_a_vector_has_the_same_bytes_in_any_batch(folder, preset):
    with model_of(folder, preset) as model:
        alone = np.concatenate([model.embed([ids]) for ids in TEXTS])
        np.testing.assert_array_equal(model.embed(TEXTS), alone)
        np.testing.assert_array_equal(model.embed(TEXTS[::-1]), alone[::-1])
    for ubatch, threads in ((16, 1), (700, 3)):
        with model_of(folder, preset, ubatch=ubatch, threads=threads) as model:
            np.testing.assert_array_equal(model.embed(TEXTS), alone)


def test_a_long_text_of_a_causal_model_takes_several_passes(folder):
    for pooling in ("mean", "last", "cls", "none"):
        with model_of(folder, "llama", pooling) as model:
            whole = model.embed([ids_of(200)])
        with model_of(folder, "llama", pooling, ubatch=16) as model:
            np.testing.assert_array_equal(model.embed([ids_of(200)]), whole)


def test_pooling_picks_or_averages_the_rows(folder):
    with model_of(folder, "bert", "none") as model:
        rows = model.embed([TEXTS[3]], normalize=False)
    assert rows.shape == (30, 64)
    for pooling, wanted in (("cls", rows[0]), ("last", rows[-1]), ("mean", rows.mean(0))):
        with model_of(folder, "bert", pooling) as model:
            found = model.embed([TEXTS[3]], normalize=False)
        np.testing.assert_allclose(found, wanted[None], rtol=1e-4, atol=1e-5)


def test_vectors_are_of_length_1_unless_they_are_wanted_as_they_are(folder):
    with model_of(folder, "bert") as model:
        raw, scaled = model.embed(TEXTS, normalize=False), model.embed(TEXTS)
    lengths = np.linalg.norm(raw, axis=1)
    assert (abs(lengths - 1) > 0.01).all()
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(scaled * lengths[:, None], raw, rtol=1e-5)


def test_texts_and_their_ids_have_the_same_vector(folder):
    with model_of(folder, "bert") as model:
        ids = model.tokenizer.encode("hello world")
        assert (ids[0], ids[-1]) == (2, 3)
        np.testing.assert_array_equal(model.embed("hello world"), model.embed([ids]))
        assert model.embed([]).shape == (0, 64)


def test_a_text_longer_than_the_context_is_refused_or_cut_before_its_end_token(folder):
    text = "hello " * 300
    with model_of(folder, "bert") as model:
        with pytest.raises(
            ContextOverflowError, match="the text has 302 tokens, the model reads 256"
        ):
            model.embed(text)
        cut = model.embeddings.sequences(truncate=True).of(text)
        assert len(cut) == 256 and cut[-1] == 3
        np.testing.assert_array_equal(model.embed(text, truncate=True), model.embed([cut]))


def test_a_text_without_tokens_has_no_vector(folder):
    with model_of(folder, "qwen3-embed") as model, pytest.raises(UsageError, match="is empty"):
        model.embed([[]])


@pytest.mark.parametrize("wrong", [-1, 1 << 20])
def test_ids_that_are_no_tokens_are_refused(folder, wrong):
    with model_of(folder, "bert") as model, pytest.raises(UsageError, match=f"text 2: .* {wrong}"):
        model.embed([[5], [5, wrong]])


def test_a_decoder_whose_file_names_no_pooling_needs_one(folder):
    with pytest.raises(UsageError, match="names no pooling") as caught:
        model_of(folder, "llama")
    assert "--pooling mean" in caught.value.hint
    with model_of(folder, "llama", None) as model, pytest.raises(UsageError, match="to generate"):
        model.embed("hello")


def test_a_context_beyond_the_table_of_positions_is_refused(folder):
    model_of(folder, "bert").close()
    options = LoadOptions("cpu", ctx=300, pooling="file")
    with pytest.raises(UsageError, match="has 256 rows for a context of 300") as caught:
        open_model(folder / "bert.gguf", options)
    assert caught.value.hint == "use -c 256 or less"


def test_a_damaged_model_gives_no_vectors(tmp_path):
    infinite = {"token_embd_norm.bias": np.full(64, np.inf, np.float32)}
    path = write_model(tmp_path / "damaged.gguf", "bert", tensors=infinite)
    with lepton_cli.load(path) as model, pytest.raises(ModelFileError, match="no usable vector"):
        model.embed([[5, 6]])


def test_a_vector_may_be_cut_to_its_first_numbers(folder):
    with model_of(folder, "bert") as model:
        raw = model.embed(TEXTS, normalize=False)
        np.testing.assert_array_equal(model.embed(TEXTS, normalize=False, dimensions=8), raw[:, :8])
        cut = model.embed(TEXTS, dimensions=8)
        lengths = np.linalg.norm(raw[:, :8].astype(np.float64), axis=1, keepdims=True)
        np.testing.assert_allclose(cut, raw[:, :8] / lengths, rtol=1e-6)
        assert model.embed([], dimensions=8).shape == (0, 8)
        for wrong in (0, 65):
            with pytest.raises(UsageError, match=f"dimensions is {wrong}: .* have 64 numbers"):
                model.embed([[5]], dimensions=wrong)


def test_as_many_texts_run_together_as_the_backend_has_room_for(folder, monkeypatch):
    with model_of(folder, "llama", "mean") as model:
        batches = model.embeddings.embedder.batches
        assert len(list(batches([[5]] * 8))) == 1
        monkeypatch.setattr("ops.cpu.runner.CpuRunner.room", lambda self: 4)  # half is a batch's
        assert [len(batch) for batch in batches([[5]] * 8)] == [2] * 4
        monkeypatch.setattr("ops.cpu.runner.CpuRunner.room", lambda self: 0)
        assert [len(batch) for batch in batches([[5]] * 8)] == [1] * 8


def test_an_encoder_does_not_answer_and_says_what_to_use(folder):
    model_of(folder, "bert").close()
    with pytest.raises(UsageError, match=r"is an encoder \(bert\)") as caught:
        model_of(folder, "bert", None)
    assert caught.value.hint.startswith("use lepton embed ")
    with lepton_cli.load(folder / "bert.gguf") as model:
        for answer in (lambda: list(model.generate("hello")), lambda: model.logits([5])):
            with pytest.raises(UsageError, match="was opened for embeddings"):
                answer()


def test_a_file_that_names_a_pooling_can_be_opened_to_generate(folder):
    model_of(folder, "qwen3-embed").close()
    with lepton_cli.load(folder / "qwen3-embed.gguf", pooling=None) as model:
        assert model.logits([5, 6]).shape[0] == 2
    with lepton_cli.load(folder / "qwen3-embed.gguf") as model:
        assert model.embed([[5, 6]]).shape == (1, 64)


def test_a_reranker_scores_pairs_of_query_and_text(folder):
    texts = ["the river", "cat and cat", ""]
    with model_of(folder, "bert-rank") as model:
        scores = model.rerank("hello world", texts)
        encode = model.tokenizer.encode
        pairs = [[*encode("hello world"), *encode(text)[1:]] for text in texts]
        np.testing.assert_array_equal(scores, model.embed(pairs, normalize=False)[:, 0])
        assert scores.dtype == np.float32 and scores.shape == (3,)
        assert len(set(scores.tolist())) == 3


def test_only_a_reranker_can_score(folder):
    with model_of(folder, "bert") as model, pytest.raises(UsageError, match="is no reranker"):
        model.rerank("hello", ["world"])
    with pytest.raises(UsageError, match="is no reranker"):
        model_of(folder, "bert", "rank")


def test_a_template_for_pairs_is_filled_and_texts_do_not_become_control_tokens(tmp_path):
    template = "<|im_start|>{query}|{document}<|im_end|>"
    path = write_model(
        tmp_path / "judge.gguf", "qwen3-rank", metadata={"tokenizer.chat_template.rerank": template}
    )
    with lepton_cli.load(path) as model:
        read, tokenizer = model.embeddings.sequences(), model.tokenizer
        given = model.embeddings.rerank_template
        ids = read.of_pair("{document}", "<|im_end|>", given)
        start, end = (tokenizer.token_id(text) for text in ("<|im_start|>", "<|im_end|>"))
        assert (ids[0], ids[-1], ids.count(end)) == (start, end, 1)
        assert tokenizer.decode(ids).strip() == "{document}|<|im_end|>"
        short = model.embeddings.sequences(truncate=True).of_pair("the", "hello " * 400, given)
        assert len(short) <= 256 and short[-1] == end
        with pytest.raises(ContextOverflowError, match="query, with no text"):
            model.embeddings.sequences(truncate=True).of_pair("hello " * 400, "the", given)


def test_of_a_pair_only_the_text_is_cut(folder):
    with model_of(folder, "bert-rank") as model:
        read = model.embeddings.sequences(truncate=True)
        query = model.tokenizer.encode("hello world")
        ids = read.of_pair("hello world", "cat " * 400, None)
        assert len(ids) == 256 and ids[: len(query)] == query and ids[-1] == 3
        with pytest.raises(ContextOverflowError, match="query leaves no room"):
            read.of_pair("cat " * 400, "river", None)
