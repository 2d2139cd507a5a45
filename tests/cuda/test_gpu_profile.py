"""A model's time on a card, operator by operator, and the room for its cache, on each backend."""

import json
import time
from contextlib import closing

import numpy as np
import pytest
from emulated import kernels_of, open_on_card
from emulator import EmulatedDevice
from make_gguf import write_model
from passes import resources

from lepton_cli.__main__ import run
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading import prepare as preparing
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from ops.backend import CardBackend, CardMeter, CpuBackend
from ops.cuda.device.probe import Card
from ops.cuda.runner import CudaRunner
from ops.interface import BLOCK, Step
from ops.limits import MachineLimits
from ops.memory_plan import Limits
from ops.runners.split import SplitRunner
from ops.state.sequence import SequenceState
from quant.errors import UsageError
from quant.gguf import GGUF

CARD = Card(0, "NVIDIA GeForce RTX 4090", (8, 9), 13000, 1 << 30)
LIMITS = Limits(8, 4)
KV = ("f16", "f16")


class TimedDevice(EmulatedDevice):
    """With the clock of this process."""

    def timed(self, launches):
        took = []
        for launch in launches:
            begin = time.perf_counter()
            self.launch(launch)
            took.append(time.perf_counter() - begin)
        return took


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("profile") / "tiny.gguf", weights="Q8_0")


@pytest.fixture(scope="module")
def program(path):
    return loading.build(GGUF.open(path), 600)


def split_runner(program, card) -> SplitRunner:
    before, behind = program.split(1)
    second = CudaRunner(card, behind, KV, LIMITS, kernels_of(card))
    return SplitRunner(CpuBackend(KV, resources()).open(before, LIMITS), second)


def step(tokens: int, start: int = 0) -> Step:
    ids = np.arange(tokens, dtype=np.int32)
    return Step(ids, ids + np.int32(start), ids[-1:])


def whole(tokens: int) -> Step:
    """With all rows wanted: of the last layer the CPU leaves out those that nobody wants."""
    ids = np.arange(tokens, dtype=np.int32)
    return Step(ids, ids, ids)


# --- profiles


@pytest.mark.parametrize("tokens", [1, 4])
def test_a_profile_has_every_operator_with_its_work(program, tokens):
    runner = open_on_card(program.forward, LIMITS, TimedDevice())
    cpu = CpuBackend(KV, resources()).open(program, LIMITS)
    with closing(runner), closing(cpu):
        times = runner.profile(whole(tokens), [SequenceState(runner.pool)])
        wanted = cpu.profile(whole(tokens), [SequenceState(cpu.pool)])
    names = {time.operator for time in times}
    assert {"embed_Q8_0", "rms_norm_quantize", "norm_rope_store_f16_f16", "largest"} <= names
    assert any(name.startswith("linear_Q8_0_") for name in names)
    assert all(time.seconds > 0 for time in times)
    assert sum(time.operations for time in times) == sum(time.operations for time in wanted)
    read = sum(time.bytes for time in times)
    assert read >= sum(time.bytes for time in wanted)  # K and V are padded to 32 columns there


def test_the_launches_of_one_operator_add_up(program):
    """Attention over several blocks is shared by thread blocks, then merged."""
    device = TimedDevice()
    runner = open_on_card(program.forward, LIMITS, device)
    cache = SequenceState(runner.pool)
    cache.reserve(0, BLOCK)
    with closing(runner):
        before = dict(device.emulator.counts)
        times = runner.profile(step(1, start=BLOCK), [cache])
    counts = device.emulator.counts
    launched = sum(counts.values()) - sum(before.values())
    merged = counts["attention_merge"]
    assert merged == program.layers
    assert not any(time.operator == "attention_merge" for time in times)
    assert launched == len(times) + merged + counts.get("largest", 0) - 1


def test_a_profile_does_not_change_what_comes_after(program):
    runner = open_on_card(program.forward, LIMITS, TimedDevice())
    with closing(runner):
        cache = SequenceState(runner.pool)
        plain = np.array(runner.run(step(3), [cache]))
        runner.profile(step(5), [cache])
        assert np.array(runner.run(step(3), [cache])).tobytes() == plain.tobytes()


def test_a_card_without_a_clock_has_no_profile(program):
    runner = open_on_card(program.forward, LIMITS, EmulatedDevice())
    with closing(runner), pytest.raises(UsageError, match="an emulated card times no kernels"):
        runner.profile(step(1), [SequenceState(runner.pool)])


def test_a_model_on_both_devices_has_no_profile(program):
    with closing(split_runner(program, EmulatedDevice())) as runner:
        with pytest.raises(UsageError, match="both the CPU and a GPU") as caught:
            runner.profile(step(1), [SequenceState(runner.pool)])
        assert "-ngl all" in str(caught.value.hint)


# --- room


def test_the_cards_memory_bounds_the_blocks_of_a_batch(program):
    device = EmulatedDevice()
    with closing(open_on_card(program.forward, LIMITS, device)) as runner:
        before = runner.room()
        assert before == device.memory()[0] // runner.pool.layout.block_bytes > 1
        block = runner.pool.take()
        assert runner.room() == before - 1
        runner.pool.give_back(block)


@pytest.mark.parametrize("free", [0, 3, 10**6])
def test_a_split_model_has_room_where_both_devices_have(program, free, monkeypatch):
    with closing(split_runner(program, EmulatedDevice())) as runner:
        monkeypatch.setattr(runner._first, "room", lambda: free)
        assert runner.room() == min(free, runner._second.room())


def test_a_model_lets_a_batch_have_half_of_the_room(path, monkeypatch):
    with open_model(path, LoadOptions("cpu", 2, 300)) as model:
        for room, blocks in ((100, 50), (1, 2)):  # a whole window is always there
            monkeypatch.setattr(model._runner, "room", lambda room=room: room)
            assert model._batch_limit() == blocks * model.window.layout.block_bytes


# --- lepton bench


@pytest.fixture
def card(monkeypatch):
    """A machine whose card is an emulated one; its copies are said to make 2 GB/s."""

    def open_whole(backend, program, limits):
        return open_on_card(program.forward, limits, backend.device)

    def open_on_both(first, second, program, layer, limits):
        return split_runner(program, second.device)

    monkeypatch.setattr(preparing, "find_card", lambda: CARD)
    monkeypatch.setattr(preparing, "open_device", lambda card: TimedDevice())
    monkeypatch.setattr(CardBackend, "open", open_whole)
    monkeypatch.setattr(preparing, "open_on_both", open_on_both)
    limits = MachineLimits(2e9, None)
    monkeypatch.setattr(CardMeter, "measure", lambda self: limits)


def records(path, capsys, *words: str) -> list:
    given = ["-p", "6", "-n", "2", "-r", "1", "--no-warmup", "--backend", "cuda", "-o", "json"]
    assert run(["bench", str(path), *given, *words]) == 0
    out, _ = capsys.readouterr()
    return json.loads(out)


def test_decode_is_held_against_the_cards_bandwidth(card, path, capsys):
    prefill, decode = records(path, capsys, "--profile")
    for each in (prefill, decode):
        assert (each["backends"], each["gpu_info"]) == ("CUDA", CARD.name)
        assert (each["limit_read"], each["limit_products"]) == (2_000_000_000, None)
        (profile,) = each["profiles"]
        assert any("linear_Q8_0" in total["operator"] for total in profile["operators"])
    assert prefill["of_limit"] is None and prefill["limit_ns"] is None
    assert decode["of_limit"] == pytest.approx(decode["limit_ns"] / decode["avg_ns"], rel=0.01)
    assert decode["limit_ns"] == pytest.approx(decode["work_bytes"] / 2, rel=0.01)


def test_a_model_on_both_devices_has_no_share(card, path, capsys):
    for each in records(path, capsys, "-ngl", "1", "-ub", "8"):
        assert each["n_gpu_layers"] == 1
        assert [each[name] for name in ("limit_read", "of_limit")] == [None, None]
