"""From the words of the command line to a card, or to the reason why there is none."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fake_model import FakeModel
from make_gguf import write_model

import lepton_cli
from lepton_cli.__main__ import run
from lepton_cli.engine.loading import prepare as preparing
from lepton_cli.engine.loading.placement import RESERVE
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.measure import diagnosis
from lepton_cli.engine.model import open_model
from lepton_cli.ui.arguments.options.chat import ConversationOptions
from lepton_cli.ui.arguments.options.model import ModelOptions
from lepton_cli.ui.open_model import draft_options, load_options
from ops.backend import CardBackend, CardMeter, CpuBackend
from ops.cuda.device.probe import Card, Missing
from quant.errors import LeptonError, OutOfMemoryError, UsageError

CARD = Card(0, "NVIDIA GeForce RTX 4090", (8, 9), 13000, 24_000_000_000)
NO_DRIVER = Missing("no NVIDIA driver was found", "install NVIDIA's driver", nvidia=False)
NO_EXTRA = Missing("RTX 4070 found, but GPU support is not installed", "pip install it")
LAYERS = 2  # of the tiny model


@dataclass
class FakeDevice:
    free: int
    closed: int = 0

    def memory(self) -> tuple[int, int]:
        return self.free, CARD.total

    def close(self) -> None:
        self.closed += 1


@dataclass
class Machine:
    """What is found, and what was opened."""

    found: Card | Missing = NO_DRIVER
    free: int = 22_100_000_000
    probes: int = 0
    devices: list[FakeDevice] = field(default_factory=list)
    layers_on_gpu: int = 0
    failure: LeptonError | None = None

    def probe(self) -> Card | Missing:
        self.probes += 1
        return self.found

    def open_device(self, card: Card) -> FakeDevice:
        if self.failure:
            raise self.failure
        self.devices.append(FakeDevice(self.free))
        return self.devices[-1]

    def open_whole(self, backend, program, limits):
        self.layers_on_gpu = program.layers
        return CpuBackend(backend.kv, backend.resources).open(program, limits)

    def open_on_both(self, first, second, program, layer, limits):
        self.layers_on_gpu = program.layers - layer
        return first.open(program, limits)


@pytest.fixture
def machine(monkeypatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(preparing, "find_card", made.probe)
    monkeypatch.setattr(preparing, "open_device", made.open_device)
    monkeypatch.setattr(CardBackend, "open", lambda *given: made.open_whole(*given))
    monkeypatch.setattr(preparing, "open_on_both", made.open_on_both)
    return made


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("gpu") / "tiny.gguf", dimensions={"L": LAYERS})


# --- opening


def test_a_model_goes_onto_the_card_as_a_whole_where_it_fits(machine, path):
    machine.found = CARD
    with lepton_cli.load(path) as model:
        assert (model.backend, machine.layers_on_gpu) == ("cuda", LAYERS)
        assert model.plan.weights == 0
        assert str(model.gpu).startswith("GPU: NVIDIA GeForce RTX 4090, compute 8.9, driver 13.0, ")
        assert f"layers on the GPU: {LAYERS} of {LAYERS} (" in str(model.gpu)
        assert model.fingerprint.startswith("cuda.8.9.NVIDIA-GeForce-RTX-4090.2of2-")
        assert not model.notes and model.no_gpu is None


def test_layers_that_are_asked_for_are_on_the_card(machine, path):
    machine.found = CARD
    with lepton_cli.load(path, gpu_layers=1) as model:
        assert machine.layers_on_gpu == 1
        assert model.plan.weights > 0


@pytest.mark.parametrize("options", [LoadOptions("cpu"), LoadOptions("auto", gpu_layers=0)])
def test_the_cpu_alone_never_looks_for_a_card(machine, path, options):
    machine.found = CARD
    with open_model(path, options) as model:
        assert (model.backend, machine.probes) == ("cpu", 0)


@pytest.mark.parametrize("found", [NO_DRIVER, NO_EXTRA])
def test_cuda_without_a_card_is_refused(machine, path, found):
    machine.found = found
    with pytest.raises(UsageError) as caught:
        lepton_cli.load(path, backend="cuda")
    assert (caught.value.message, caught.value.hint) == (found.reason, found.cure)


def test_a_full_card_is_left_to_others(machine, path):
    machine.found, machine.free = CARD, RESERVE
    with lepton_cli.load(path) as model:
        assert (model.backend, model.gpu) == ("cpu", None)
        assert model.notes == (
            "NVIDIA GeForce RTX 4090 has 300.0 MB free, too little for a layer of the model; "
            "running on the CPU",
        )
    assert machine.devices[0].closed == 1


@pytest.mark.parametrize(
    "options", [LoadOptions("cuda"), LoadOptions(gpu_layers="all"), LoadOptions(gpu_layers=1)]
)
def test_a_full_card_that_was_asked_for_is_an_error_with_the_numbers(machine, path, options):
    machine.found, machine.free = CARD, RESERVE
    with pytest.raises(OutOfMemoryError) as caught:
        open_model(path, options)
    assert "300.0 MB are free" in caught.value.message
    assert machine.devices[0].closed == 1


def test_a_card_that_cannot_be_opened_is_reported_and_the_cpu_runs(machine, path):
    machine.found, machine.failure = CARD, LeptonError("another program holds it")
    with lepton_cli.load(path) as model:
        assert model.backend == "cpu"
        assert model.notes == (
            "NVIDIA GeForce RTX 4090: another program holds it; running on the CPU",
        )
    with pytest.raises(LeptonError, match="another program"):
        lepton_cli.load(path, backend="cuda")


def test_a_cache_that_the_card_does_not_know_is_the_cpus(machine, path):
    machine.found = CARD
    with open_model(path, LoadOptions(kv=("f32", "f32"))) as model:
        assert model.backend == "cpu"
        assert "f32" in model.notes[0] and "running on the CPU" in model.notes[0]
    with pytest.raises(UsageError, match="f32"):
        open_model(path, LoadOptions("cuda", kv=("f32", "f32")))
    assert not machine.devices


def test_the_card_is_given_back_when_loading_fails(machine, path, monkeypatch):
    def fail(*_: object) -> None:
        raise LeptonError("the card is lost")

    machine.found = CARD
    monkeypatch.setattr(CardBackend, "open", fail)
    with pytest.raises(LeptonError, match="lost"):
        lepton_cli.load(path)
    monkeypatch.setattr(preparing.loading, "plan_memory", fail)
    with pytest.raises(LeptonError, match="lost"):
        lepton_cli.load(path)
    assert [device.closed for device in machine.devices] == [1, 1]


# --- what is told


@pytest.fixture
def notes(capsys, path):
    """Runs `lepton run` on the tiny model; gives the lines on stderr that tell of the GPU."""

    def told(*words: str) -> list[str]:
        code = run(["run", str(path), "hi", "-n", "1", "--no-stdin", "--raw", *words])
        lines = capsys.readouterr().err.splitlines()
        assert code == 0, lines
        return [line for line in lines if "driver" in line or "GPU" in line]

    return told


def test_without_nvidias_driver_nobody_is_nagged(machine, notes):
    assert notes() == []


@pytest.mark.parametrize("words", [("-v",), ("--backend", "auto"), ("-ngl", "99"), ("-ngl", "all")])
def test_without_nvidias_driver_who_asks_is_reported_once(machine, notes, words):
    assert notes(*words) == [
        "lepton: note: no NVIDIA driver was found: install NVIDIA's driver; running on the CPU"
    ]


def test_a_card_that_cannot_be_used_is_always_reported_once(machine, notes):
    machine.found = NO_EXTRA
    expected = [
        "lepton: note: RTX 4070 found, but GPU support is not installed: pip install it; "
        "running on the CPU"
    ]
    assert notes() == notes("-v") == notes("--backend", "auto") == expected


@pytest.mark.parametrize("words", [("--backend", "cpu"), ("-ngl", "0"), ("--backend", "reference")])
def test_who_wants_the_cpu_hears_of_no_card(machine, notes, words):
    machine.found = NO_EXTRA
    assert notes(*words, "-v") == []


def test_verbose_tells_the_card_and_its_layers(machine, notes):
    machine.found = CARD
    assert notes() == []
    (line,) = notes("-v", "-ngl", "1")
    assert line.startswith("lepton: note: GPU: NVIDIA GeForce RTX 4090, compute 8.9, ")
    assert "22.1 of 24.0 GB free; layers on the GPU: 1 of 2 (" in line


def test_cuda_without_a_card_is_exit_2_with_the_cure(machine, path, capsys):
    machine.found = NO_EXTRA
    assert run(["run", str(path), "hi", "--no-stdin", "--backend", "cuda"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"lepton: error: {NO_EXTRA.reason}",
        f"lepton: hint: {NO_EXTRA.cure}",
    ]


def test_a_card_that_is_too_small_is_exit_5(machine, path, capsys):
    machine.found, machine.free = CARD, RESERVE
    assert run(["run", str(path), "hi", "--no-stdin", "--backend", "cuda"]) == 5
    assert "300.0 MB are free" in capsys.readouterr().err


def test_bench_names_the_card_and_its_layers(machine, path, capsys, monkeypatch):
    machine.found = CARD
    monkeypatch.setattr(CardMeter, "measure", lambda self: None)
    words = ["bench", str(path), "-p", "4", "-n", "0", "-r", "1", "-ngl", "1,all", "-o", "jsonl"]
    assert run(words) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["n_gpu_layers"] for one in told] == [1, LAYERS]
    assert {(one["backends"], one["gpu_info"]) for one in told} == {("CUDA", CARD.name)}


def test_bench_has_a_column_of_layers_where_they_were_asked_for(machine, path, capsys):
    words = ["bench", str(path), "-p", "4", "-n", "0", "-r", "1"]
    assert run([*words, "-ngl", "0"]) == 0
    table = [line.split("|") for line in capsys.readouterr().out.splitlines()[:3]]
    cells = {name.strip(): cell.strip() for name, _, cell in zip(*table, strict=True)}
    assert (cells["backend"], cells["ngl"]) == ("CPU", "0")
    assert run([*words, "--backend", "cuda"]) == 2
    assert "ngl" not in capsys.readouterr().out


# --- options


def wanted(**options: object) -> LoadOptions:
    return load_options(ModelOptions(**options), ConversationOptions())


@pytest.mark.parametrize(
    ("text", "layers"), [("auto", "auto"), ("all", "all"), ("0", 0), ("99", 99)]
)
def test_layers_are_read_as_they_are_typed(text, layers):
    assert wanted(gpu_layers=text).gpu_layers == layers


@pytest.mark.parametrize("text", ["-1", "some", "", "1.5", "²"])
def test_what_is_not_a_number_of_layers_is_refused(text):
    with pytest.raises(UsageError, match="--gpu-layers"):
        wanted(gpu_layers=text)


@pytest.mark.parametrize("flag", ["-ngl", "--gpu-layers", "--n-gpu-layers"])
def test_the_flag_the_variable_and_the_config_file_set_layers(
    flag, monkeypatch, tmp_path, capfdbinary
):
    model = tmp_path / "fake.gguf"
    model.write_bytes(b"never read")
    seen: list[LoadOptions] = []
    monkeypatch.setattr(
        "lepton_cli.engine.model.open_model",
        lambda path, options, *_: seen.append(options) or FakeModel(),
    )
    words = ["run", str(model), "hi", "--no-stdin"]
    config = tmp_path / "config.toml"
    config.write_text("gpu-layers = 3\n")
    monkeypatch.setenv("LEPTON_CONFIG", str(config))
    assert run(words) == 0
    monkeypatch.setenv("LEPTON_GPU_LAYERS", "4")
    assert run(words) == 0
    assert run([*words, flag, "5"]) == 0
    assert [options.gpu_layers for options in seen] == [3, 4, 5]


def test_a_draft_model_has_the_same_backend_and_its_own_layers():
    draft = draft_options(wanted(backend="cuda", gpu_layers="20", prefix_cache=2.0))
    assert (draft.backend, draft.gpu_layers, draft.prefixes) == ("cuda", "auto", 0)
    assert draft_options(wanted(gpu_layers="0")).gpu_layers == 0


# --- lepton doctor


def findings(found: Card | Missing) -> dict[str, str]:
    return {one.subject: str(one) for one in diagnosis.findings(lambda: found)}


def test_doctor_tells_the_card():
    told = findings(CARD)
    assert told["GPU"] == "NVIDIA GeForce RTX 4090 (compute 8.9, driver 13.0, 24.0 GB)"
    assert told["backend"].startswith("cuda (")


@pytest.mark.parametrize("found", [NO_DRIVER, NO_EXTRA])
def test_doctor_tells_why_there_is_no_card_and_the_cure(found):
    told = findings(found)
    assert told["GPU"] == f"none ({found.reason}: {found.cure})"
    assert told["backend"].startswith("cpu (")
