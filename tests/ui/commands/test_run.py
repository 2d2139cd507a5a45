"""`lepton run` on a model that says what it is told to: what goes where, what the JSON holds."""

import io
import json
from pathlib import Path

import pytest
from fake_model import FakeModel, FakeTemplate

from lepton_cli.__main__ import run
from lepton_cli.engine.events import Reasoning, Text
from lepton_cli.ui.reports.report import PlainReport
from quant.errors import ContextOverflowError, ModelFileError
from quant.gguf import Metadata

THINKING = (Reasoning("Hm, "), Reasoning("so."), "Yes", ".")


@pytest.fixture
def lepton(monkeypatch, tmp_path, capfdbinary):
    """Runs `lepton run` on a fake model: exit code, stdout, stderr."""
    path = tmp_path / "fake.gguf"
    path.write_bytes(b"never read")

    def start(model: FakeModel, *args: str) -> tuple[int, bytes, str]:
        monkeypatch.setattr("lepton_cli.engine.model.open_model", lambda *_: model)
        code = run(["run", str(path), *args])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return start


def settings(lepton, model: FakeModel, *args: str):
    """What the engine is asked for."""
    code, _, err = lepton(model, "hi", *args)
    assert code == 0, err
    return model.generations[0]


# --- stdout and stderr


@pytest.mark.parametrize(
    "answer", [("Hello", "!"), (), ("a\n",), ("ünï ", "世界"), ("\x1b[31m", "\r")]
)
def test_stdout_is_the_answer_and_one_newline(lepton, answer):
    code, out, err = lepton(FakeModel([answer]), "hi")
    assert (code, out, err) == (0, "".join(answer).encode() + b"\n", "")


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_not_a_terminal_gets_whole_lines_each_in_one_write(terminal):
    class Stream(io.TextIOWrapper):
        def isatty(self) -> bool:
            return terminal

    class Raw(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            writes.append(bytes(data))
            return len(data)

    writes: list[bytes] = []
    report = PlainReport("show", Stream(io.BufferedWriter(Raw())), io.StringIO())
    long = "x" * 100_000
    for event in (
        Reasoning("Hm"),
        Text("a"),
        Text("b\nc\nd"),
        Text("e\n\n"),
        Text(long),
        Text("f"),
    ):
        report.event(event)
    report.close()
    assert b"".join(writes) == f"Hm\n\nab\nc\nde\n\n{long}f\n".encode()
    assert all(each.endswith(b"\n") for each in writes) != terminal


def test_the_prompt_goes_through_the_template(lepton):
    model = FakeModel()
    lepton(model, "hi", "-sys", "Be brief.")
    assert model.prompts == [
        "<s><|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    ]
    assert model.closed


def test_raw_completes_the_prompt_as_it_is(lepton):
    model = FakeModel()
    lepton(model, "--raw", "Once upon")
    assert model.prompts == ["<s>Once upon"]
    assert not model.generations[0].split_reasoning


def test_settings_of_a_chat_template_are_told_to_be_ignored_by_a_raw_prompt(lepton):
    ignored = ("--reasoning-budget", "5", "--no-think")
    _, _, err = lepton(FakeModel(), "--raw", "hi", *ignored)
    assert "--reasoning-budget and --no-think are ignored: a raw prompt has no chat template" in err
    _, _, err = lepton(FakeModel(template=FakeTemplate(from_file=False)), "hi", *ignored[:2])
    assert "--reasoning-budget is ignored" in err
    assert "ignored" not in lepton(FakeModel(), "hi", *ignored)[2]


def test_a_model_without_a_template_completes(lepton):
    model = FakeModel(template=FakeTemplate(from_file=False))
    code, _, err = lepton(model, "Once upon")
    assert (code, err) == (0, "")
    assert model.prompts == ["<s>Once upon"]


def test_a_template_that_is_named_is_used(lepton):
    model = FakeModel(template=FakeTemplate(from_file=False))
    lepton(model, "hi", "--chat-template", "chatml")
    assert model.prompts[0].startswith("<s><|im_start|>user\nhi")


def test_a_system_prompt_without_a_template_is_refused(lepton):
    code, out, err = lepton(FakeModel(), "--raw", "hi", "-sys", "Be brief.")
    assert (code, out) == (2, b"")
    assert "chat template" in err


@pytest.mark.parametrize("flags", [(), ("--parse-special",)])
def test_what_is_typed_becomes_special_only_when_asked(lepton, flags):
    model = FakeModel()
    seen = []
    stream = model.stream
    model.stream = lambda ids, *rest: seen.append(list(ids)) or stream(ids, *rest)
    lepton(model, "--raw", "</s>", *flags)
    assert (257 in seen[0]) == bool(flags)


@pytest.mark.parametrize(
    ("flags", "out", "err"),
    [
        ((), b"Yes.\n", "Hm, so.\n"),
        (("--reasoning", "stderr"), b"Yes.\n", "Hm, so.\n"),
        (("--reasoning", "hide"), b"Yes.\n", ""),
        (("--reasoning", "show"), b"Hm, so.\n\nYes.\n", ""),
    ],
)
def test_thoughts_go_where_they_are_wanted(lepton, flags, out, err):
    assert lepton(FakeModel([THINKING]), "hi", *flags) == (0, out, err)


def test_thoughts_on_stderr_steer_no_terminal(lepton):
    _, _, err = lepton(FakeModel([[Reasoning("\x1b[2J"), "Yes"]]), "hi")
    assert "\x1b" not in err


def test_notes_of_model_and_template_are_reported(lepton):
    model = FakeModel(notes=("context 512 of 4096",), template=FakeTemplate(note="odd template"))
    _, out, err = lepton(model, "hi")
    assert out == b"Hello!\n"
    assert err.splitlines() == ["lepton: note: context 512 of 4096", "lepton: note: odd template"]


def test_verbose_tells_what_ran_and_how_fast(lepton):
    _, out, err = lepton(FakeModel(), "hi", "-v", "--seed", "7")
    assert out == b"Hello!\n"
    for words in (
        "backend reference",
        "threads 1",
        "t/s",
        "seed 7",
        "temperature",
        "ended by stop",
    ):
        assert words in err


def test_a_full_context_is_reported(lepton):
    code, _, err = lepton(FakeModel(reason="context"), "hi")
    assert code == 0
    assert "context of 4096 tokens is full" in err


def test_an_interrupted_answer_is_kept_and_exits_130(lepton):
    assert lepton(FakeModel(reason="interrupted"), "hi") == (130, b"Hello!\n", "")


# --- failures


def test_an_overflow_names_both_numbers_and_exits_4(lepton):
    code, out, err = lepton(FakeModel(context_size=20), "hi")
    assert (code, out) == (4, b"")
    assert "prompt has 22 tokens" in err
    assert "holds 20" in err


def test_a_failure_inside_the_answer_ends_its_line(lepton):
    model = FakeModel(failure=ContextOverflowError("it broke"))
    assert lepton(model, "hi") == (4, b"Hello!\n", "lepton: error: it broke\n")
    assert model.closed


def test_a_model_that_fails_to_open_is_reported(monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise ModelFileError(
            "x.gguf: the key llama.block_count is missing", "the file is incomplete"
        )

    monkeypatch.setattr("lepton_cli.engine.model.open_model", refuse)
    assert run(["run", __file__, "hi"]) == 3
    out, err = capsys.readouterr()
    assert not out
    assert "llama.block_count" in err


# --- JSON


@pytest.fixture
def schema() -> dict[str, object]:
    return {
        "schema": "lepton.run.v1",
        "model": {
            "name": "Fake 260K",
            "path": "fake.gguf",
            "architecture": "llama",
            "parameters": 260_000,
            "file_bytes": 1_040_000,
        },
        "fingerprint": "f1ngerpr1nt",
        "backend": "reference",
        "threads": 1,
        "template": "chatml",
        "seed": 7,
        "samplers": ["top_k", "top_p", "min_p", "temperature", "dist"],
        "max_tokens": None,
        "stop": [],
        "ban": [],
        "overflow": "error",
        "ignore_eos": False,
        "constraint": None,
        "reasoning_budget": -1,
        "reasoning_budget_message": "",
        "reasoning_effort": "",
        "reasoning_preserve": "auto",
        "chat_template_kwargs": None,
    }


ENDING = {
    "finish_reason": "stop",
    "stop_string": None,
    "unmet": None,
    "token_ids": list(b"Hm, so.Yes."),
    "counts": {
        "prompt": 22,
        "cached": 0,
        "dropped": 0,
        "generated": 11,
        "reasoning": 0,
        "guessed": 0,
        "accepted": 0,
        "context_used": 33,
        "context_size": 4096,
    },
}


def without_times(record: dict) -> dict:
    timings = record.pop("timings")
    assert timings["prefill_seconds"] == 0.25
    assert timings["prefill_tokens_per_second"] == 22 / 0.25
    assert timings["decode_tokens_per_second"] == 11 / 0.5
    assert timings["load_seconds"] >= 0
    return record


def test_json_is_one_object_that_tells_everything(lepton, schema):
    code, out, err = lepton(FakeModel([THINKING]), "hi", "--json", "--seed", "7")
    assert (code, err, out.count(b"\n")) == (0, "", 1)
    record = without_times(json.loads(out))
    sampling = record.pop("sampling")
    assert record == {**schema, "text": "Yes.", "reasoning": "Hm, so.", **ENDING}
    assert (sampling["temperature"], sampling["seed"], sampling["top_k"]) == (0.8, 7, 40)


def test_jsonl_is_one_object_an_event(lepton, schema):
    code, out, err = lepton(FakeModel([THINKING]), "hi", "--jsonl", "--seed", "7")
    records = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert records[0].pop("sampling")["seed"] == 7
    assert records[0] == {"event": "start", **schema}
    assert records[1:-1] == [
        {"event": "reasoning", "text": "Hm, "},
        {"event": "reasoning", "text": "so."},
        {"event": "text", "text": "Yes"},
        {"event": "text", "text": "."},
    ]
    assert without_times(records[-1]) == {"event": "end", **ENDING}


def test_json_without_thoughts_or_template_says_null(lepton):
    _, out, _ = lepton(FakeModel(), "--raw", "hi", "--json")
    record = json.loads(out)
    assert (record["reasoning"], record["template"]) == (None, None)


def test_json_of_an_interrupted_answer_is_whole(lepton):
    code, out, _ = lepton(FakeModel(reason="interrupted"), "hi", "--json")
    assert (code, json.loads(out)["finish_reason"]) == (130, "interrupted")


def test_json_holds_no_control_character(lepton):
    _, out, _ = lepton(FakeModel([["\x1b[31m\x9b2J\x7fé"]]), "hi", "--json", "-l", "5-inf")
    line = out.decode().removesuffix("\n")
    assert line.isprintable()
    assert json.loads(line)["text"] == "\x1b[31m\x9b2J\x7fé"
    assert json.loads(line)["sampling"]["logit_bias"] == [[5, "-inf"]]


def test_both_kinds_of_json_are_refused(lepton):
    assert lepton(FakeModel(), "hi", "--json", "--jsonl")[0] == 2


# --- settings


def test_a_fresh_seed_is_used_and_told(lepton):
    seeds = {json.loads(lepton(FakeModel(), "hi", "--json", "-s", "-1")[1])["seed"] for _ in "12"}
    assert len(seeds) == 2
    assert None not in seeds


@pytest.mark.parametrize(
    ("args", "setting", "value"),
    [
        (["--temp", "0"], "temperature", 0.0),
        (["--temperature", "1.5"], "temperature", 1.5),
        (["--top_k", "5"], "top_k", 5),
        (["--top-k=6"], "top_k", 6),
        (["-s9"], "seed", 9),
        (["--typical", "0.5"], "typical_p", 0.5),
        (["--top-nsigma", "2"], "top_n_sigma", 2.0),
        (["--dynatemp-exp", "2"], "dynatemp_exponent", 2.0),
        (["--repeat-last-n", "-1"], "repeat_last_n", -1),
        (["--samplers", "top_k;temperature"], "samplers", ("top_k", "temperature")),
        (["--sampling-seq", "kt"], "samplers", ("top_k", "temperature")),
        (["-l", "104+1", "-l", "3-1.5"], "logit_bias", ((104, 1.0), (3, -1.5))),
        (["--dry-sequence-breaker", r"\n"], "dry_sequence_breakers", ("\n",)),
        (["--dry-sequence-breaker", "none"], "dry_sequence_breakers", ()),
        (["-e", "--dry-sequence-breaker", r"\t", "--no-escape"], "dry_sequence_breakers", (r"\t",)),
    ],
)
def test_sampling_flags_reach_the_engine(lepton, args, setting, value):
    assert getattr(settings(lepton, FakeModel(), *args).sampling, setting) == value


@pytest.mark.parametrize(
    ("args", "setting", "value"),
    [
        ([], "max_tokens", None),
        (["-n", "-1"], "max_tokens", None),
        (["-n-2"], "max_tokens", None),
        (["-n", "12"], "max_tokens", 12),
        (["--predict", "0"], "max_tokens", 0),
        (["-r", r"User:\n", "-r", "###"], "stop", ("User:\n", "###")),
        (["-r", r"a\n", "--no-escape"], "stop", (r"a\n",)),
        (["--overflow", "middle"], "overflow", "middle"),
        (["--ignore-eos"], "ignore_eos", True),
    ],
)
def test_flags_of_the_answer_reach_the_engine(lepton, args, setting, value):
    assert getattr(settings(lepton, FakeModel(), *args), setting) == value


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--top-p", "2"], "top_p"),
        (["--temp", "nan"], "temperature"),
        (["--samplers", "topk"], "top_k"),
        (["--samplers", "top_k", "--sampling-seq", "k"], "--samplers"),
        (["-l", "hello"], "hello"),
        (["-l", "5"], "lepton tokenize"),
    ],
)
def test_settings_out_of_range_are_refused(lepton, args, words):
    code, out, err = lepton(FakeModel(), "hi", *args)
    assert (code, out) == (2, b"")
    assert words in err


def test_flag_then_variable_then_config_then_metadata_then_default(lepton, monkeypatch, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("temp = 0.3\ntop-k = 30\ntop-p = 0.3\n")
    monkeypatch.setenv("LEPTON_CONFIG", str(config))
    monkeypatch.setenv("LEPTON_TEMP", "0.2")
    monkeypatch.setenv("LEPTON_TOP_K", "20")
    advice = {"temp": 0.4, "top_k": 40, "top_p": 0.4, "min_p": 0.4}
    keys = {f"general.sampling.{key}": value for key, value in advice.items()}
    model = FakeModel(metadata=Metadata(Path("fake.gguf"), keys))
    sampling = settings(lepton, model, "--temp", "0.1").sampling
    assert sampling.temperature == 0.1
    assert sampling.top_k == 20
    assert sampling.top_p == 0.3
    assert sampling.min_p == 0.4
    assert sampling.typical_p == 1.0


def test_what_the_catalogue_advises_comes_last(lepton, monkeypatch):
    model = FakeModel(metadata=Metadata(Path("x"), {"general.sampling.top_k": 40}))
    monkeypatch.setattr("lepton_cli.engine.model.open_model", lambda *_: model)
    monkeypatch.setattr("lepton_cli.ui.commands.run.resolve_or_pull", lambda name: Path("x"))
    assert run(["run", "qwen3-0.6b", "hi", "--min-p", "0.2"]) == 0
    sampling = model.generations[0].sampling
    assert (sampling.temperature, sampling.top_k, sampling.min_p) == (0.6, 40, 0.2)


def test_a_wrong_variable_is_named(lepton, monkeypatch):
    monkeypatch.setenv("LEPTON_TOP_K", "many")
    code, _, err = lepton(FakeModel(), "hi")
    assert code == 2
    assert "LEPTON_TOP_K" in err


@pytest.mark.parametrize("args", [["-m", "{}", "hi"], ["{}", "hi"], ["{}", "-p", "hi"]])
def test_the_model_is_a_word_or_a_flag(monkeypatch, tmp_path, capsys, args):
    path, model = tmp_path / "a.gguf", FakeModel()
    path.touch()
    monkeypatch.setattr("lepton_cli.engine.model.open_model", lambda *_: model)
    assert run(["run", *(arg.format(path) for arg in args)]) == 0
    assert "hi" in model.prompts[0]


def test_a_variable_names_the_model_where_no_word_does(monkeypatch, tmp_path):
    path, opened = tmp_path / "a.gguf", []
    path.touch()
    model = FakeModel()
    monkeypatch.setenv("LEPTON_MODEL", str(path))
    monkeypatch.setattr(
        "lepton_cli.engine.model.open_model", lambda p, *_: opened.append(p) or model
    )
    assert run(["run", "-p", "hi"]) == 0
    assert run(["run", "hi"]) == 0
    assert opened == [path, path]
