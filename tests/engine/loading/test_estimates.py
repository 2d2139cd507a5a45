"""`lepton plan`: its figures are those of loading, for models that fit and models that do not."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from make_gguf import write_model
from test_gpu_opening import CARD, FakeDevice

from lepton_cli.__main__ import run
from lepton_cli.engine.loading import estimates
from lepton_cli.engine.loading import prepare as preparing
from lepton_cli.engine.loading.estimates import Estimates, Setting, estimate
from lepton_cli.engine.loading.placement import RESERVE
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from ops.interface import BLOCK
from ops.machine import MemoryLimit
from quant.errors import UsageError
from quant.gguf import GGUF
from quant.gguf_writer import Header, TensorInfo, copied_pairs, number

REFERENCE = LoadOptions("reference", threads=1)


@pytest.fixture
def free(monkeypatch):
    """Sets the memory that is free."""

    def leave(count: int) -> None:
        limit = MemoryLimit(count, "as the test says")
        monkeypatch.setattr(estimates, "available_memory", lambda: limit)

    return leave


def planned(path: Path, *contexts: int, **options: object) -> Estimates:
    base = replace(REFERENCE, **options)
    return estimate(GGUF.open(path), base, contexts, [("f16", "f16")], ["auto"])


@pytest.mark.parametrize("preset", ["llama", "qwen3moe", "mamba", "qwen35", "bert"])
@pytest.mark.parametrize("context", [64, 256])
def test_the_figures_are_those_of_loading(tmp_path, preset, context):
    path = write_model(tmp_path / "m.gguf", preset)
    settings = replace(REFERENCE, ctx=context, pooling="if named")
    model = open_model(path, settings)
    (found,) = planned(path, context, pooling="if named").settings
    assert replace(model.plan, free=found.plan.free) == replace(
        found.plan, longest=model.plan.longest
    )
    model.close()


def test_what_does_not_fit_has_figures_too(tmp_path, free):
    path = write_model(tmp_path / "m.gguf")
    (whole,) = planned(path, 256).settings
    free(whole.plan.total)
    assert planned(path, 256).settings[0].obstacle is None
    free(whole.plan.total - 1)
    (found,) = planned(path, 256).settings
    assert found.plan.total == whole.plan.total
    assert found.obstacle is not None and "as the test says" in found.obstacle


def test_the_longest_context_is_the_last_that_fits(tmp_path, free):
    path = write_model(tmp_path / "m.gguf", dimensions={"T": 4096})
    (at_full,) = planned(path, 4096).settings
    free(at_full.plan.total - 1)
    (best,) = planned(path).largest.values()
    assert best is not None and best.plan.longest == 4096 - BLOCK
    assert planned(path, best.plan.longest).settings[0].obstacle is None
    free(1000)
    assert planned(path).largest == {Setting(None, ("f16", "f16"), "auto"): None}


def test_the_usual_contexts_double_up_to_the_trained_one(tmp_path):
    for trained, expected in ((1000, [1000]), (10000, [4096, 8192, 10000]), (8192, [4096, 8192])):
        path = write_model(tmp_path / "m.gguf", dimensions={"T": trained})
        assert [each.plan.context for each in planned(path).settings] == expected


def test_the_usual_types_are_those_that_the_heads_allow(tmp_path):
    for width, expected in ((16, ["f16"]), (32, ["f16", "q8_0", "q4_0"])):
        path = write_model(tmp_path / "m.gguf", dimensions={"d": width})
        found = estimate(GGUF.open(path), REFERENCE, [64], [], ["auto"])
        assert [each.setting.kv[0] for each in found.settings] == expected
    with pytest.raises(UsageError):
        estimate(
            GGUF.open(write_model(tmp_path / "m.gguf")), REFERENCE, [], [("q8_0", "q8_0")], ["auto"]
        )


def test_a_model_larger_than_memory_is_planned_without_reading_it(tmp_path, free):
    small, width = GGUF.open(write_model(tmp_path / "small.gguf")), 40_000_000
    infos = [
        TensorInfo(each.name, each.format, tuple(width if n == 128 else n for n in each.shape))
        for each in small.tensors.values()
    ]
    keys = copied_pairs(small.metadata)
    large = Header(keys | {"llama.feed_forward_length": number(width)}, infos)
    path = tmp_path / "large.gguf"
    path.write_bytes(large.encode())
    os.truncate(path, large.file_bytes)  # a file with a hole
    free(100_000_000)
    (found,) = planned(path, 64).settings
    assert found.obstacle is not None
    assert found.plan.weights > 50_000_000_000


# --- a card


def test_layers_on_a_card_are_planned_with_its_memory(tmp_path, monkeypatch):
    devices = [FakeDevice(1 << 40)]
    monkeypatch.setattr(preparing, "find_card", lambda: CARD)
    monkeypatch.setattr(preparing, "open_device", lambda card: devices[-1])
    file = GGUF.open(write_model(tmp_path / "m.gguf"))
    base, kinds = LoadOptions("auto", threads=1), [("f16", "f16")]
    (alone,) = estimate(file, base, [256], kinds, [1]).settings
    assert alone.gpu is not None
    devices.append(FakeDevice(RESERVE + alone.gpu.placement.gpu_bytes))  # there is room for one
    auto, none, one, two = estimate(file, base, [256], kinds, ["auto", 0, 1, 2]).settings
    assert auto.gpu is not None and auto.gpu.placement == alone.gpu.placement
    assert one == replace(auto, setting=one.setting, plan=one.plan)
    assert none.gpu is None and none.obstacle is None
    assert none.plan.weights > one.plan.weights > 0
    assert two.gpu is not None and two.gpu.placement.whole
    assert two.obstacle is not None and "2 of 2 layers on the GPU" in two.obstacle
    assert all(device.closed for device in devices)


# --- the command


def outcome(capfd, *args: object) -> tuple[int, str, str]:
    code = run([str(arg) for arg in args])
    return code, *capfd.readouterr()


def test_the_table_and_the_json_have_a_row_for_each_combination(tmp_path, capfd):
    path = write_model(tmp_path / "m.gguf", dimensions={"d": 32})
    args = ("plan", path, "--backend", "cpu", "-c", "64,128", "-ctk", "f16,q8_0", "-ctv", "q4_0")
    code, out, err = outcome(capfd, *args)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == [
        "context",
        "cache",
        "type",
        "weights",
        "cache",
        "scratch",
        "other",
        "total",
        "fits",
    ]
    assert [row[:2] for row in rows[1:5]] == [
        ["64", "f16/q4_0"],
        ["128", "f16/q4_0"],
        ["64", "q8_0/q4_0"],
        ["128", "q8_0/q4_0"],
    ]
    record = json.loads(outcome(capfd, *args, "--json")[1])
    assert [each["context"] for each in record["settings"]] == [64, 128, 64, 128]
    assert all(
        sum(each["bytes"].values()) == 2 * each["bytes"]["total"] for each in record["settings"]
    )
    assert len(record["largest"]) == 2


@pytest.mark.parametrize(
    "wrong", [("-c", "0"), ("-c", "many"), ("-ctk", "q9"), ("-ngl", "some"), ("-ub", "0")]
)
def test_a_wrong_setting_is_a_usage_error(tmp_path, capfd, wrong):
    path = write_model(tmp_path / "m.gguf")
    assert outcome(capfd, "plan", path, *wrong)[0] == 2
