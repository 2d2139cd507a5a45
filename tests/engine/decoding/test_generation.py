"""Answers of a random model: where they end, what overflows, what is reused, who stops them."""

import threading

import numpy as np
import pytest
from make_gguf import CHATML, write_model

import lepton_cli
from lepton_cli.engine.decoding.generation import Generation, fit
from lepton_cli.engine.events import Done, Prefill, Text
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from lepton_cli.engine.sampling.sampler import Sampling
from quant.errors import ContextOverflowError, ModelFileError, OutOfMemoryError, UsageError

GREEDY = Sampling(temperature=0)
CONTEXT = 96


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(
        tmp_path_factory.mktemp("m") / "tiny.gguf",
        metadata={"tokenizer.chat_template": CHATML, "llama.context_length": CONTEXT},
    )


@pytest.fixture
def model(path):
    with lepton_cli.load(path) as model:
        yield model


def answer(model, ids, **options) -> tuple[list, Done]:
    options = {"sampling": GREEDY, "ignore_eos": True, **options}
    *events, done = model.stream(ids, Generation(**options))
    assert isinstance(done, Done)
    return events, done


def text_of(events) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def ids_of(count: int) -> list[int]:
    return np.random.default_rng(1).integers(3, 250, count).tolist()


def test_an_answer_ends_after_max_tokens(model):
    events, done = answer(model, [1, 70, 80], max_tokens=7)
    assert done.reason == "length" and len(done.token_ids) == 7
    assert done.stats.generated_tokens == 7 and done.stats.prompt_tokens == 3
    assert [event for event in events if isinstance(event, Prefill)] == [Prefill(3, 3)]


def test_no_token_is_generated_when_none_is_wanted(model):
    _, done = answer(model, [1, 70], max_tokens=0)
    assert done.reason == "length" and done.token_ids == ()


def test_an_answer_ends_when_the_window_is_full(model):
    _, done = answer(model, [1, 70])
    assert done.reason == "context"
    assert done.stats.context_used == done.stats.context_size == CONTEXT
    assert len(done.token_ids) == CONTEXT - 2 + 1  # the last one needs no place of its own


def test_an_answer_ends_at_an_end_token(model):
    first = int(np.argmax(model.logits([1, 70, 80])[-1]))
    eos = next(iter(model.tokenizer.end_of_generation))
    bias = ((first, float("-inf")), (eos, 1e4))
    sampling = Sampling(temperature=0, logit_bias=bias)
    _, done = answer(model, [1, 70, 80], sampling=sampling, ignore_eos=False)
    assert done.reason == "stop" and done.token_ids == () and done.stop_string is None
    _, done = answer(model, [1, 70, 80], sampling=sampling, max_tokens=3)
    assert done.reason == "length" and eos not in done.token_ids


def test_a_stop_string_ends_the_answer_and_is_not_shown(model):
    events, _ = answer(model, [1, 70, 80], max_tokens=40, split_reasoning=False)
    whole = text_of(events)
    stop = whole[5:8]
    events, done = answer(
        model, [1, 70, 80], max_tokens=40, stop=("never", stop), split_reasoning=False
    )
    assert done.reason == "stop" and done.stop_string == stop
    assert text_of(events) == whole[: whole.index(stop)]


def test_text_is_the_decoded_tokens(model):
    events, done = answer(model, [1, 70, 80], max_tokens=30, split_reasoning=False)
    raw = b"".join(model.tokenizer.token_bytes(token) for token in done.token_ids)
    assert text_of(events) == raw.decode(errors="replace")


def test_a_prompt_that_does_not_fit_names_both_numbers(model):
    with pytest.raises(ContextOverflowError) as caught:
        answer(model, ids_of(120))
    assert "120" in caught.value.message and str(CONTEXT) in caught.value.message
    with pytest.raises(ContextOverflowError):
        answer(model, ids_of(CONTEXT))  # no room for a single token of an answer
    _, done = answer(model, ids_of(CONTEXT - 1), max_tokens=1)
    assert done.reason == "length"


@pytest.mark.parametrize("policy", ["drop-old", "middle", "shift"])
def test_a_policy_leaves_tokens_out_and_counts_them(model, policy):
    _, done = answer(model, ids_of(150), overflow=policy, max_tokens=2)
    assert done.stats.dropped_tokens == 150 - done.stats.prompt_tokens > 0


def test_policies_keep_what_they_say():
    ids = list(range(100))
    assert fit(ids, 40, "drop-old") == ids[-30:]
    assert fit(ids, 40, "middle") == [*ids[:15], *ids[-15:]]
    assert fit(ids, 40, "drop-old", keep=1) == [0, *ids[-29:]]
    assert fit(ids, 1, "drop-old", keep=1) == ids[-1:]
    assert fit(ids[:39], 40, "error") == ids[:39]
    with pytest.raises(UsageError):
        fit([], 40, "error")


def test_shifting_continues_after_the_window_is_full(model):
    _, done = answer(model, ids_of(60), overflow="shift", max_tokens=150)
    assert done.reason == "length" and len(done.token_ids) == 150
    assert done.stats.context_used <= CONTEXT


def test_shifting_keeps_the_beginning_of_text(model):
    bos = model.tokenizer.bos
    answer(model, [bos, *ids_of(60)], overflow="shift", max_tokens=60)
    assert model._positions.ids[0] == bos


def test_a_window_of_one_token_can_be_shifted(path):
    with lepton_cli.load(path, ctx=1) as model:
        _, done = answer(model, [1, 5, 6], overflow="shift", max_tokens=5)
    assert len(done.token_ids) == 5 and done.stats.context_used == 1


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_prompt_of_several_passes_is_read(tmp_path, backend):
    path = write_model(tmp_path / "m.gguf", metadata={"llama.context_length": 700})
    with lepton_cli.load(path, backend=backend) as model:
        events, done = answer(model, ids_of(600), max_tokens=2)
    assert [event.done for event in events if isinstance(event, Prefill)] == [256, 512, 600]
    assert len(done.token_ids) == 2


def test_two_answers_at_once_are_refused_instead_of_mixed(model):
    first = model.stream([1, 70], Generation(GREEDY, ignore_eos=True))
    for _ in range(4):
        next(first)
    answer(model, [1, 80], max_tokens=2)
    with pytest.raises(UsageError, match="another prompt"):
        list(first)


def test_a_model_at_work_in_another_thread_is_refused_instead_of_mixed(model):
    expected = model.logits(ids_of(90))
    results: list = []

    def work() -> None:
        for _ in range(20):
            try:
                results.append(model.logits(ids_of(90)))
            except UsageError as error:
                results.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    right = [result for result in results if isinstance(result, np.ndarray)]
    assert len(results) == 60
    for result in right:
        np.testing.assert_array_equal(result, expected)


def test_a_closed_model_refuses(path):
    model = lepton_cli.load(path)
    model.close()
    model.close()
    with pytest.raises(UsageError, match="closed"):
        model.logits([1])


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"threads": -1}, {"kv": "q9"}, {"backend": "abacus"}]
)
def test_impossible_options_are_refused(path, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        lepton_cli.load(path, **wrong)


def test_suppressed_tokens_are_never_drawn(tmp_path, model):
    first = int(np.argmax(model.logits([1, 70, 80])[-1]))
    keys = {"tokenizer.ggml.suppress_tokens": [first, -1, 10**6]}
    path = write_model(tmp_path / "m.gguf", metadata={**keys, "llama.context_length": CONTEXT})
    with lepton_cli.load(path) as other:
        assert first not in answer(other, [1, 70, 80], max_tokens=20)[1].token_ids


def test_the_common_prefix_is_not_read_again(model):
    ids = ids_of(50)
    cold = answer(model, ids, max_tokens=5)[1]
    warm = answer(model, ids, max_tokens=5)[1]
    longer = answer(model, [*ids, 9, 9], max_tokens=5)[1]
    assert cold.stats.cached_tokens == 0
    assert warm.stats.cached_tokens == 49 and longer.stats.cached_tokens == 50
    assert warm.token_ids == cold.token_ids


def test_the_same_seed_gives_the_same_text_whatever_the_threads(path):
    texts = set()
    for threads in (1, 2, 3):
        with lepton_cli.load(path, threads=threads) as model:
            texts.add("".join(model.generate("hello", max_tokens=40, seed=7, temperature=1.5)))
    assert len(texts) == 1
    with lepton_cli.load(path) as model:
        assert "".join(model.generate("hello", max_tokens=40, seed=8, temperature=1.5)) not in texts


def test_an_interrupt_ends_the_answer_and_the_model_continues(model):
    asked = threading.Event()
    kept = []
    for event in model.stream([1, 70], Generation(GREEDY, ignore_eos=True), asked):
        kept.append(event)
        if len(kept) == 6:
            asked.set()
    assert kept[-1].reason == "interrupted" and 0 < len(kept[-1].token_ids) < CONTEXT - 2
    asked.clear()
    assert answer(model, [1, 70], max_tokens=3)[1].reason == "length"


def test_an_interrupt_before_the_prompt_is_read_gives_an_empty_answer(model):
    asked = threading.Event()
    asked.set()
    [*_, done] = model.stream(ids_of(60), Generation(GREEDY), asked)
    assert done.reason == "interrupted" and done.token_ids == ()


def test_logits_are_those_of_a_causal_pass_from_an_empty_cache(model):
    ids = ids_of(70)
    whole = model.logits(ids)
    assert whole.shape == (70, model.tokenizer.vocab_size) and whole.dtype == np.float32
    answer(model, ids_of(10), max_tokens=3)
    np.testing.assert_array_equal(model.logits(ids[:5]), whole[:5])


@pytest.mark.parametrize("ids", [[], [-1], [10**6]])
def test_impossible_ids_are_refused(model, ids):
    with pytest.raises(UsageError):
        model.logits(ids)
    with pytest.raises(UsageError):
        list(model.stream(ids, Generation()))


def test_more_ids_than_the_context_are_refused(model):
    with pytest.raises(ContextOverflowError, match=str(CONTEXT)):
        model.logits(ids_of(CONTEXT + 1))


def test_a_context_beyond_the_training_is_noted_and_one_below_1_refused(path):
    with lepton_cli.load(path, ctx=2 * CONTEXT) as model:
        assert any(str(CONTEXT) in note for note in model.notes)
        assert model.context_size == 2 * CONTEXT
    with pytest.raises(UsageError):
        lepton_cli.load(path, ctx=0)


def test_a_pass_of_no_token_is_refused(path):
    with pytest.raises(UsageError, match="ubatch"):
        open_model(path, LoadOptions(ubatch=0))


def test_memory_is_planned_before_loading(path):
    said = []
    open_model(path, LoadOptions(), said.append).close()
    assert len(said) == 1 and "MB" in said[0]
    with pytest.raises(OutOfMemoryError) as caught:
        lepton_cli.load(path, ctx=1 << 40)
    assert "GB" in caught.value.message and "-c" in str(caught.value.hint)


def test_a_vocabulary_larger_than_the_embedding_is_refused(tmp_path):
    small = np.zeros((300, 64), np.float32)
    path = write_model(tmp_path / "m.gguf", tensors={"token_embd.weight": small})
    with pytest.raises(ModelFileError, match="token_embd"):
        lepton_cli.load(path)


def test_a_tokenizer_can_be_had_without_a_model(path):
    tokenizer = lepton_cli.load_tokenizer(path)
    assert tokenizer.decode(tokenizer.encode("héllo 🙂", add_special=False)) == "héllo 🙂"


def test_the_package_offers_what_it_says():
    with pytest.raises(AttributeError):
        lepton_cli.nothing  # noqa: B018
    assert all(hasattr(lepton_cli, name) for name in lepton_cli.__all__)
