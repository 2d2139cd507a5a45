"""Whole models on an emulated card: every architecture and format, the same bytes however run."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from emulated import Ready, open_on_card
from emulator import EmulatedDevice
from make_adapter import write_lora, write_vector
from make_gguf import CHATML, write_model
from passes import logits_of, nmse
from presets_gguf import PRESETS
from test_architectures import RECORDINGS, ROUNDED

import lepton_cli
from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.events import Done, Text
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading import prepare as preparing
from lepton_cli.engine.loading.adapters import AdapterFile
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling
from ops.cuda.compile import codes
from ops.cuda.device.probe import Card
from ops.cuda.rules.refusals import refusal
from ops.memory_plan import Limits
from quant.errors import LeptonError, OutOfMemoryError
from quant.gguf import GGUF

pytestmark = pytest.mark.emulated
CARD = Card(0, "an emulated card", (8, 9), 13000, 1 << 30)
HALVES = 1e-6  # q, K, V and the softmax's shares are float16: 2^-11 each, squared and some
STORY = "Once upon a time"


def card_logits(path: Path, ids, chunk: int = 32) -> np.ndarray:  # (T,) -> (T, V)
    """One causal pass, `chunk` tokens at a time; skips the test if cards refuse the model."""
    file = GGUF.open(path)
    context = loading.trained_context(file)
    program = loading.build(file, context)
    refused = refusal(program)
    if refused:
        pytest.skip(refused)
    runner = open_on_card(program.forward, Limits(chunk, chunk))
    try:
        positions = Window(Passes(runner, chunk, chunk), context)
        return positions.all_logits([int(i) for i in ids])
    finally:
        runner.close()


class Codes(Ready):
    """In place of the store of compiled kernels."""

    def __init__(self, device, folder, processes, on_compile) -> None:
        super().__init__(device)


@pytest.fixture
def cards(monkeypatch) -> list[EmulatedDevice]:
    """The cards that models were opened on, each as if it were this machine's."""
    opened: list[EmulatedDevice] = []

    def open_device(card: Card) -> EmulatedDevice:
        opened.append(EmulatedDevice(CARD.total))
        return opened[-1]

    monkeypatch.setattr(preparing, "find_card", lambda: CARD)
    monkeypatch.setattr(preparing, "open_device", open_device)
    monkeypatch.setattr(codes, "CodeStore", Codes)
    return opened


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("models")

    def make(preset: str, weights: str = "F32") -> Path:
        path = folder / f"{preset}-{weights}.gguf"
        if not path.exists():
            write_model(path, preset, weights=weights, seed=3)
        return path

    return make


# --- every architecture, every format


@pytest.mark.parametrize("name", RECORDINGS)
def test_logits_agree_with_llama_cpp(shared_data, name):
    archive, model = name.split("/")
    path = shared_data(archive) / f"{model}.gguf"
    with np.load(path.with_suffix(".npz")) as recorded:
        assert nmse(card_logits(path, recorded["ids"]), recorded["logits"]) < HALVES


@pytest.mark.parametrize("name", sorted(ROUNDED))
def test_quantized_files_lie_no_farther_from_exact_arithmetic_than_llama_cpp(shared_data, name):
    path = shared_data("quants") / f"tiny-{name}.gguf"
    recorded = np.load(path.with_suffix(".npz"))
    exact = logits_of(path, recorded["ids"], "reference")
    rounded = max(nmse(recorded["logits"], exact), HALVES)
    # float16 keys and values make other bytes round up, by a few of a hundred in one sample
    assert nmse(card_logits(path, recorded["ids"]), exact) < 1.2 * rounded


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_card_agrees_with_the_cpu(made, preset):
    path, ids = made(preset), np.arange(3, 15, dtype=np.int32)
    assert nmse(card_logits(path, ids), logits_of(path, ids, "cpu")) < 10 * HALVES


@pytest.mark.parametrize(
    ("preset", "weights"), [("llama", "Q8_0"), ("qwen3moe", "Q4_0"), ("gemma3", "F16")]
)
def test_the_size_of_chunks_does_not_matter(made, preset, weights):
    path, ids = made(preset, weights), np.arange(3, 38, dtype=np.int32)
    whole = card_logits(path, ids, 35)  # by the kernels for many tokens
    for chunk in (7, 34):
        assert card_logits(path, ids, chunk).tobytes() == whole.tobytes(), chunk


# --- the engine on a card


def answer(model: Model, ids: list[int], **settings) -> Done:
    generation = Generation(Sampling(seed=11), 9, **settings)
    *_, done = model.stream(ids, generation)
    assert isinstance(done, Done)
    return done


def test_the_story_is_told_to_the_letter(shared_data, cards):
    folder = shared_data("models")
    with lepton_cli.load(folder / "stories260K-F32.gguf") as model:
        assert model.backend == "cuda"
        told = "".join(model.generate(STORY, max_tokens=40, temperature=0))
    whole = (folder / "stories260K-F32.txt").read_text()
    assert len(told) > 100 and whole.startswith(told)
    assert cards[0].emulator.counts["draw"] > 30  # tokens were drawn on the card


def test_texts_are_embedded_on_the_card_as_on_the_cpu(made, cards):
    """The body runs on the card; a reranker's head on the CPU."""
    texts = [list(range(3, 16)), [7, 9], list(range(40, 60))]
    for preset in ("qwen3-embed", "qwen3-rank"):
        found = []
        for backend in ("cuda", "cpu"):
            with open_model(made(preset), LoadOptions(backend, pooling="file")) as model:
                found.append(model.embed(texts))
                alone = np.concatenate([model.embed([text]) for text in texts])
                assert alone.tobytes() == found[-1].tobytes()
        assert nmse(*found) < 10 * HALVES
    assert len(cards) == 2


def test_an_answer_is_the_same_however_it_is_run(made, cards):
    path, ids = made("llama", "Q8_0"), list(range(3, 16))
    with open_model(path, LoadOptions("cuda")) as model:
        drawn = answer(model, ids, draft_max=0).token_ids
        assert answer(model, ids, draft_max=0, logprobs=1).token_ids == drawn  # token by token
        assert answer(model, ids, draft_max=16).token_ids == drawn  # with guesses
        requests = [Request(n, tuple(ids[n:]), _wanted()) for n in range(3)]
        alone = [answer(model, ids[n:], draft_max=0).token_ids for n in range(3)]
        outcomes = {outcome.key: outcome.done for outcome in model.batch(requests, 3)}
        assert [outcomes[n].token_ids for n in range(3)] == alone
    with open_model(path, LoadOptions("cuda", ubatch=5)) as model:
        assert answer(model, ids, draft_max=0).token_ids == drawn
    assert len(drawn) > 3


def _wanted() -> Generation:
    return Generation(Sampling(seed=11), 9, draft_max=0)


def test_a_model_is_split_between_card_and_cpu(made, cards):
    path, ids = made("qwen3", "Q8_0"), list(range(3, 20))
    with open_model(path, LoadOptions("cuda", gpu_layers=1)) as model:
        assert model.gpu is not None and model.gpu.placement.layers_on_gpu == 1
        split = model.logits(ids)
        first = answer(model, ids).token_ids
        requests = [Request(n, tuple(ids), _wanted()) for n in range(2)]
        assert {one.done.token_ids for one in model.batch(requests, 2)} == {first}
    with open_model(path, LoadOptions("cpu")) as model:
        whole = model.logits(ids)
    assert cards[0].emulator.counts and nmse(split, whole) < 1e-3  # bytes that round otherwise


def test_a_resumed_window_goes_on_with_the_same_bytes(made, cards):
    path, ids = made("llama", "Q8_0"), list(range(3, 30))
    with open_model(path, LoadOptions("cuda")) as model:
        want = answer(model, ids).token_ids
        held = list(model.window.ids)
        saved = model.window.save(20)
    with open_model(path, LoadOptions("cuda")) as model:
        model.window.restore(held, saved)
        done = answer(model, ids)
        assert done.stats.cached_tokens == 20 and done.token_ids == want


def test_memory_that_another_process_took_is_told_and_the_answer_kept(made, cards):
    path, ids = made("llama"), list(range(3, 30))
    with open_model(path, LoadOptions("cuda")) as model:
        card = cards[0]
        card.allocate(card.memory()[0] - 1000)  # somebody else
        with pytest.raises(OutOfMemoryError, match="are free"):
            answer(model, ids)
        assert not model.window._state.blocks


class LostError(LeptonError):
    """What a driver tells of a lost card."""


def test_a_lost_card_is_told_and_what_was_said_is_kept(made, cards, monkeypatch):
    path, ids = made("llama"), list(range(3, 30))
    with open_model(path, LoadOptions("cuda")) as model:
        events: Iterator = model.stream(ids, Generation(Sampling(seed=1), 60, draft_max=0))
        seen = [next(events) for _ in range(4)]
        monkeypatch.setattr(
            cards[0], "download", _raise(LostError("the GPU was lost (CUDA_ERROR_LAUNCH_FAILED)"))
        )
        with pytest.raises(LostError, match="the GPU was lost"):
            for event in events:
                seen.append(event)
        assert len(seen) >= 4
    assert cards[0].memory()[0] > 0


def test_a_chat_on_a_lost_card_keeps_its_text(cards, monkeypatch, tmp_path):
    keys = {"tokenizer.chat_template": CHATML}
    path = write_model(tmp_path / "chat.gguf", metadata=keys, seed=3)
    with open_model(path, LoadOptions("cuda")) as model:
        session = Session(model, Generation(Sampling(seed=1), 200, ignore_eos=True))
        events, said = session.send("What was said before?"), []
        lost = LostError("the GPU was lost (CUDA_ERROR_LAUNCH_FAILED)", "start again")
        with pytest.raises(LostError):
            for event in events:
                said += [event.text] if isinstance(event, Text) else []
                if len(said) == 3:
                    monkeypatch.setattr(cards[0], "download", _raise(lost))
        question, answered = (turn.message.content for turn in session.conversation.turns)
        assert question == "What was said before?" and answered == "".join(said) != ""
        with pytest.raises(LostError):  # and so again, as long as the card is lost
            list(session.send("And now?"))


def _raise(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_prompt_that_is_on_disk_is_not_read_again(made, cards, monkeypatch, tmp_path):
    monkeypatch.setattr("lepton_cli.engine.model.prefix_folder", lambda: tmp_path)
    path, ids = made("llama", "Q8_0"), list(range(3, 71))
    told = []
    for _ in range(2):
        with open_model(path, LoadOptions("cuda", prefixes=1 << 28)) as model:
            done = answer(model, ids, draft_max=0)
            told.append((done.stats.cached_tokens, done.token_ids))
            model.remember()
    assert [cached for cached, _ in told] == [0, 67] and told[0][1] == told[1][1]
    with open_model(path, LoadOptions("cpu", prefixes=1 << 28)) as model:
        assert answer(model, ids).stats.cached_tokens == 0  # its K and V are others


# --- adapters


@pytest.mark.parametrize(
    ("preset", "weights"), [("llama", "Q8_0"), ("phi3", "F16"), ("llama-moe", "F32")]
)
def test_a_card_adds_what_adapters_add_and_takes_over_new_scales(made, cards, preset, weights):
    model = made(preset, weights)
    used = (
        AdapterFile(write_lora(model.with_suffix(".lora"), model)),
        AdapterFile(write_vector(model.with_suffix(".vector")), 1.0, "control vector"),
    )
    ids = list(range(3, 15))

    def logits(backend, scale: float, *, switched: bool) -> np.ndarray:
        first = used if switched else [replace(each, scale=scale) for each in used]
        options = LoadOptions(backend, ctx=64, adapters=tuple(first))
        with open_model(model, options) as opened:
            before = opened.logits(ids)
            for number in range(2 * switched):
                opened.adapters.rescale(number, scale)
            assert opened.backend == backend
            found = opened.logits(ids)
            assert (found.tobytes() != before.tobytes()) == switched
            return found

    fresh = logits("cuda", 0.25, switched=False)
    exact, beside = (logits(name, 0.25, switched=False) for name in ("reference", "cpu"))
    # with activations in 8 bits both are off, each by roundings of its own
    assert nmse(fresh, exact) < 1.1 * nmse(beside, exact) + 10 * HALVES
    assert logits("cuda", 0.25, switched=True).tobytes() == fresh.tobytes()
