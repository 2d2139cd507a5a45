"""`lepton bench`: llama-bench's names, fields and columns, and work counted as by hand."""

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import shapes
from make_gguf import write_model

from lepton_cli.__main__ import run
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.measure import benchmark as engine
from lepton_cli.engine.measure.benchmark import (
    Bench,
    Facts,
    Profile,
    Result,
    Setup,
    deviation,
    label,
)
from lepton_cli.engine.measure.workload import Pass, Trial
from lepton_cli.engine.text.tokenizer import build_tokenizer
from lepton_cli.ui.arguments.options.bench import BenchOptions
from lepton_cli.ui.commands.bench import plan
from lepton_cli.ui.reports import bench_tables, roofline
from ops.backend import cpu_arithmetic
from ops.limits import MachineLimits
from ops.profile import OperatorTime, OperatorTotal, by_operator
from quant.errors import ContextOverflowError, UsageError
from quant.gguf import GGUF

ROOT = Path(__file__).parents[3]
LLAMA_BENCH_FIELDS = [  # in its order; those of GPUs, of splitting and of polling are left out
    *("build_commit", "build_number", "cpu_info", "gpu_info", "backends", "model_filename"),
    *("model_type", "model_size", "model_n_params", "n_batch", "n_ubatch", "n_threads"),
    *("type_k", "type_v", "n_gpu_layers", "n_prompt", "n_gen", "n_depth", "test_time"),
    *("avg_ns", "stddev_ns", "avg_ts", "stddev_ts"),
]
LLAMA_BENCH_COLUMNS = ["model", "size", "params", "backend", "threads", "test", "t/s"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("bench") / "tiny.gguf")


@pytest.fixture
def bench(tiny, capsys):
    """Runs the command on the tiny model; gives what stdout got."""

    def measure(*words: str) -> str:
        assert run(["bench", str(tiny), "-p", "6", "-n", "2", "-r", "2", *words]) == 0
        out, err = capsys.readouterr()
        assert not err
        return out

    return measure


def workload(path: Path, context: int = 64):
    return engine.workload(GGUF.open(path), context, ("f16", "f16"))


def result(**changes) -> Result:
    facts = Facts("1", "a CPU", "m.gguf", "llama 1B Q4_0", 1 << 20, 10**6)
    limits = MachineLimits(bandwidth=1e9, products=1e10)
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    samples = (1_000_000, 3_000_000)
    setup = Setup(2, backend="cpu", gpu_layers=0)
    return replace(
        Result(facts, setup, Trial(8, 0, 0), begun, samples, limits, 10**5, 10**6, 1e-3), **changes
    )


# --- what is measured


@pytest.mark.parametrize(
    ("trial", "name"),
    [
        (Trial(512, 0, 0), "pp512"),
        (Trial(0, 128, 0), "tg128"),
        (Trial(512, 128, 0), "pp512+tg128"),
        (Trial(512, 0, 4096), "pp512 @ d4096"),
        (Trial(0, 1, 8), "tg1 @ d8"),
    ],
)
def test_tests_are_named_as_llama_bench_names_them(trial, name):
    assert trial.name == name


def test_values_give_every_combination_in_llama_benchs_order():
    options = BenchOptions(
        n_prompt=["4,8"],
        n_gen=["2"],
        n_depth=["0", "16"],
        prompt_gen=["4,2"],
        threads=["1,2"],
        cache_type_v=["f16,f32"],
    )
    schedule = plan(options)
    names = ["pp4", "pp8", "tg2", "pp4+tg2"]
    assert [trial.name for trial in schedule.trials] == names + [f"{name} @ d16" for name in names]
    setups = [(setup.kv[1], setup.threads) for setup in schedule.setups]
    assert setups == [("f16", 1), ("f16", 2), ("f32", 1), ("f32", 2)]


def test_the_defaults_are_llama_benchs():
    schedule = plan(BenchOptions())
    assert [trial.name for trial in schedule.trials] == ["pp512", "tg128"]
    assert schedule.setups == [Setup(None, 512, ("f16", "f16"))]
    assert (schedule.repetitions, schedule.warm_up) == (5, True)


def test_zero_leaves_a_kind_of_test_out():
    assert [trial.name for trial in plan(BenchOptions(n_prompt=["0"])).trials] == ["tg128"]


def test_a_prompt_is_passed_in_chunks_and_an_answer_token_by_token():
    passes = list(Trial(5, 2, 10).passes(ubatch=4))
    assert passes == [Pass(10, 4, 0), Pass(14, 1, 1), Pass(15, 1, 1), Pass(16, 1, 1)]


def test_a_sample_stands_after_its_depth_which_is_entered_once(tiny, monkeypatch):
    trial = Trial(3, 2, 9)
    with closing(Bench(GGUF.open(tiny), Setup(1), 20, lambda text: None)) as bench:
        bench.sample(trial)
        first = list(bench.model.window.ids)
        entered = []
        runner = bench.model._runner
        monkeypatch.setattr(runner, "run", watched(runner.run, entered))
        bench.sample(trial)
        second = list(bench.model.window.ids)
    assert len(first) == len(second) == 14
    assert first[:9] == second[:9]
    assert first[9:] != second[9:]
    assert sum(entered) == 1 + 3 + 2  # the depth's last token is always entered anew


def watched(run, entered):
    def wrapper(step, *others):
        entered.append(len(step.tokens))
        return run(step, *others)

    return wrapper


# --- what it says


def test_markdown_has_llama_benchs_columns_and_the_share_of_the_limit(bench):
    lines = bench("-d", "0,4").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    assert rows[0] == [*LLAMA_BENCH_COLUMNS, "of limit"]
    assert [row[5] for row in rows[2:]] == ["pp6", "tg2", "pp6 @ d4", "tg2 @ d4"]
    assert all(" ± " in row[6] and row[7].endswith(" %") for row in rows[2:])
    assert {len(line) for line in lines if "|" in line} == {len(lines[0])}
    assert lines[-1].endswith(f" ({cpu_arithmetic()})")  # which instructions ran


def test_markdown_shows_what_was_asked_for_beside_the_usual(bench):
    header = bench("-ub", "4,8", "-ctk", "f32", "-t", "1").splitlines()[0]
    assert [name in header for name in ("n_ubatch", "type_k", "type_v")] == [True, True, False]


def test_json_has_llama_benchs_fields_first_and_figures_that_agree(bench):
    records = json.loads(bench("-o", "json"))
    assert [record["n_prompt"] for record in records] == [6, 0]
    for record in records:
        fields = list(record)
        assert fields[: len(LLAMA_BENCH_FIELDS)] == LLAMA_BENCH_FIELDS
        assert fields[len(LLAMA_BENCH_FIELDS) :][:2] == ["samples_ns", "samples_ts"]
        tokens = record["n_prompt"] + record["n_gen"]
        speeds = [1e9 * tokens / sample for sample in record["samples_ns"]]
        assert record["samples_ts"] == pytest.approx(speeds)
        assert record["avg_ts"] == pytest.approx(sum(speeds) / 2)
        assert record["arithmetic"] == cpu_arithmetic()
        assert record["of_limit"] == pytest.approx(record["limit_ns"] / record["avg_ns"], rel=0.01)


def test_json_lines_are_the_records_of_the_array(bench):
    lines = bench("-o", "jsonl").splitlines()
    records = json.loads(bench("-o", "json"))
    assert [list(json.loads(line)) for line in lines] == [list(record) for record in records]


def test_csv_is_the_record_without_its_lists(bench):
    rows = list(csv.DictReader(io.StringIO(bench("-o", "csv"))))
    assert list(rows[0])[: len(LLAMA_BENCH_FIELDS)] == LLAMA_BENCH_FIELDS
    assert "samples_ns" not in rows[0]
    assert [row["n_gen"] for row in rows] == ["0", "2"]


def test_a_single_sample_deviates_by_nothing():
    assert deviation([3.0]) == 0
    assert deviation([1.0, 3.0]) == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (121_000, "121K"),
        (949_999, "950K"),
        (950_000, "1M"),
        (3_150_000, "3M"),
        (494_000_000, "0.5B"),
        (1_240_000_000, "1B"),
        (70_550_000_000, "71B"),
    ],
)
def test_a_model_is_called_by_its_rounded_size(parameters, text):
    assert label(parameters) == text


# --- how much work it was


def test_work_of_a_dense_model_equals_a_count_by_hand(tiny):
    work = workload(tiny)
    V = GGUF.open(tiny).tensors["token_embd.weight"].shape[0]
    D, F, keys, L = 64, 128, 32, 2  # of make_gguf's llama; in F32
    matrices = L * (D * D + 2 * keys * D + D * D + 3 * F * D)
    norms = L * 2 * D + D
    decode = Pass(9, 1, 1)
    cache = L * 2 * keys * 2 * 10  # f16, ten positions
    assert work.cost(decode).bytes == 4 * (matrices + norms + V * D + D) + cache
    assert work.cost(decode).macs == matrices + V * D + L * 2 * D * 10
    prefill = Pass(0, 4, 0)
    cache = L * 2 * keys * 2 * 4
    assert work.cost(prefill).bytes == 4 * (matrices + norms - D + 4 * D) + cache
    assert work.cost(prefill).macs == 4 * matrices + L * 2 * D * (1 + 2 + 3 + 4)


def test_a_tied_output_is_read_whole_once(tmp_path):
    path = write_model(tmp_path / "tied.gguf", "gemma2")
    work, table = workload(path), GGUF.open(path).tensors["token_embd.weight"]
    with_logits, without = Pass(0, 1, 1), Pass(0, 1, 0)
    norm = 4 * table.shape[1]
    one, other = work.cost(with_logits), work.cost(without)
    assert one.bytes - other.bytes == table.data.nbytes + norm
    assert one.macs - other.macs == table.size


def test_a_window_bounds_what_attention_reads(tmp_path):
    work = workload(write_model(tmp_path / "window.gguf", "gemma2"))  # one of two layers: 8
    near, far, farther = (work.cost(Pass(start, 1, 1)).bytes for start in (7, 20, 21))
    position = 2 * 32 * 2
    assert far - near == 13 * position
    assert farther - far == position
    assert work.cost(Pass(21, 1, 1)).macs - work.cost(Pass(20, 1, 1)).macs == 2 * 64


def test_only_the_used_experts_count(tmp_path):
    path = write_model(tmp_path / "experts.gguf", "llama-moe")  # two of four
    work, tensors = workload(path), GGUF.open(path).tensors
    experts = sum(each.data.nbytes for name, each in tensors.items() if "_exps" in name)
    cached = 2 * 2 * 32 * 2  # bytes of a position in both layers
    row = 4 * 64  # gathered from the embeddings
    one, two, three = (work.cost(Pass(0, tokens, 0)).bytes for tokens in (1, 2, 3))
    assert two - one == experts // 2 + row + cached
    assert three - two == row + cached


def test_the_limit_is_the_slower_of_reading_and_multiplying():
    limits = MachineLimits(bandwidth=100.0, products=1000.0)
    assert limits.seconds(200, 10) == 2
    assert limits.seconds(200, 5000) == 5
    assert result().of_limit == pytest.approx(0.5)  # 1 ms of the samples' mean of 2 ms


def test_where_no_multipliers_were_measured_only_single_tokens_have_a_limit(tiny):
    limits, work = MachineLimits(1e9, None), workload(tiny)
    prompt, answer = (list(trial.passes(4)) for trial in (Trial(4, 0, 0), Trial(0, 2, 0)))
    assert engine._least_seconds(limits, work, prompt) is None
    assert engine._least_seconds(None, work, answer) is None
    read = sum(work.cost(one).bytes for one in answer)
    assert engine._least_seconds(limits, work, answer) == pytest.approx(read / 1e9)


def test_a_share_that_is_not_known_is_left_out():
    unknown = result(limits=None, limit_seconds=None)
    assert bench_tables._cells(unknown)["of limit"] == ""
    fields = bench_tables.record(unknown)
    names = ("limit_read", "limit_products", "limit_ns", "of_limit")
    assert [fields[name] for name in names] == [None] * 4
    assert engine.fastest([unknown]) is None
    card = result(limits=MachineLimits(3e9, None))
    assert engine.fastest([unknown, card]) == card.limits
    told = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    table = bench_tables.Markdown(told, plan(BenchOptions()))
    table.add(card)
    table.end()
    assert "\nlimits: 3.0 GB/s\n" in told.buffer.getvalue().decode()


# --- profiles


def test_a_profile_adds_up_the_operators_of_one_kind_slowest_first():
    times = [OperatorTime("add", 1.0, 2, 3), OperatorTime("linear", 5.0, 7, 8)]
    times.append(OperatorTime("add", 2.0, 10, 20))
    assert by_operator(times) == [
        OperatorTotal("linear", 1, 5.0, 7, 8),
        OperatorTotal("add", 2, 3.0, 12, 23),
    ]


def test_profiles_tell_time_and_work_of_each_operator(bench):
    records = json.loads(bench("--profile", "-o", "json"))
    for record, name in zip(records, ("prefill of 6 tokens", "decode"), strict=True):
        (profile,) = record["profiles"]
        assert profile["name"].startswith(name)
        totals = profile["operators"]
        assert all(total["seconds"] > 0 and total["calls"] > 0 for total in totals)
        assert totals == sorted(totals, key=lambda total: -total["seconds"])
        assert sum(total["bytes"] for total in totals) > 0
        assert sum(total["operations"] for total in totals) > 0


def test_markdown_ends_with_a_table_a_profile(tiny):
    totals = (OperatorTotal("linear", 2, 0.003, 6_000_000, 30_000_000),)
    told = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    table = bench_tables.Markdown(told, plan(BenchOptions()))
    table.add(result(profiles=(Profile("decode at depth 0", totals),)))
    table.end()
    text = told.buffer.getvalue().decode()
    assert "decode at depth 0" in text
    row = next(line.split() for line in text.splitlines() if line.startswith("linear"))
    assert row == ["linear", "2", "3.000", "100.0", "%", "2.00", "10.0"]


# --- refusing


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "0", "-n", "0"], "nothing to measure"),
        (["-p", "-3"], "-p takes whole numbers from 0, not '-3'"),
        (["-n", "many"], "-n takes whole numbers from 0, not 'many'"),
        (["-d", "1,-1"], "-d takes whole numbers from 0, not '-1'"),
        (["-pg", "5"], "-pg '5'"),
        (["-r", "0"], "0 repetitions"),
        (["-t", "0"], "-t 0"),
        (["-t", "5000"], "threads is 5000"),
        (["-ub", "0"], "-ub takes whole numbers from 1, not '0'"),
        (["-ctk", "q9"], "kv is 'q9'"),
        (["-o", "sql"], "'sql'"),
        (["--profile", "-o", "csv"], "CSV"),
        (["--plot", "roof.pdf"], "--plot roof.pdf"),
        (["surplus"], "surplus"),
        (["--nprompt", "4"], "unknown option --nprompt"),
    ],
)
def test_bad_words_are_refused_before_anything_runs(tiny, capsys, words, message):
    assert run(["bench", str(tiny), *words]) == UsageError.exit_code
    out, err = capsys.readouterr()
    assert not out
    assert message in err


@pytest.mark.parametrize("words", [["-p", "257"], ["-n", "300"], ["-p", "1", "-d", "256"]])
def test_more_tokens_than_the_context_are_refused(tiny, capsys, words):
    assert run(["bench", str(tiny), "-p", "0", "-n", "0", *words]) == ContextOverflowError.exit_code
    out, err = capsys.readouterr()
    assert not out
    assert "256" in err


def test_the_help_imports_nothing_heavy():
    script = (
        "import sys; from lepton_cli.__main__ import run; run(['bench', '--help']); "
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    shown, _, modules = done.stdout.rpartition("MODULES")
    assert "--n-depth" in shown
    assert not {"numpy", "numba", "rich", "matplotlib"} & set(modules.split())


# --- drawing


def test_a_plot_without_matplotlib_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as refused:
        roofline.check(tmp_path / "roof.png")
    assert "lepton-cli[plot]" in str(refused.value.hint)


def test_a_plot_that_cannot_be_written_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(UsageError, match="No such file"):
        roofline.check(tmp_path / "nowhere" / "roof.png")
    roofline.check(tmp_path / "roof.png")
    assert not list(tmp_path.iterdir())
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG of a cat")
    with pytest.raises(UsageError, match="is not a file of this kind"):
        roofline.check(photo)
    assert photo.read_bytes() == b"\x89PNG of a cat"


def test_dots_stand_at_work_a_byte_and_speed():
    operators = (
        OperatorTotal("linear", 2, 0.5, 100, 1000),
        OperatorTotal("add", 1, 0.1, 0, 0),  # has no place in the plot
    )
    tests, parts = roofline.dots([result(profiles=(Profile("p", operators),))])
    assert [(dot.intensity, dot.speed) for dot in tests] == [(10, pytest.approx(5e8))]
    assert [(dot.name, dot.intensity, dot.speed) for dot in parts] == [("linear", 10, 2000)]


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_roofline_is_drawn(tmp_path, ending, magic):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"roof.{ending}"
    roofline.draw([result()], path)
    assert path.read_bytes().startswith(magic)
    roofline.check(path)  # the next one may replace it
    assert os.listdir(tmp_path) == [path.name]


# --- the files to measure on


def test_a_made_up_vocabulary_reads_back_every_text(tmp_path, monkeypatch):
    small = replace(shapes.SHAPES["llama1b"], V=26000, L=1, D=64, H=2, K=1, d=32, F=64)
    monkeypatch.setitem(shapes.SHAPES, "llama1b", small)
    shapes.write_shape("llama1b", tmp_path / "small.gguf", "Q4_0")
    file = GGUF.open(tmp_path / "small.gguf")
    tokenizer = build_tokenizer(file.metadata)
    assert tokenizer.vocab_size == 26000
    text = "Grüße, 世界!\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode("a" * 64)) < 64
    assert {tensor.format.name for tensor in file.tensors.values()} == {"Q4_0", "F32"}


def test_a_vocabulary_is_taken_over_key_by_key(tmp_path, monkeypatch):
    small = replace(shapes.SHAPES["qwen05"], V=600, L=1, D=64, H=2, K=1, d=32, F=64)
    monkeypatch.setitem(shapes.SHAPES, "qwen05", small)
    source, copy = tmp_path / "source.gguf", tmp_path / "copy.gguf"
    shapes.write_shape("qwen05", source, "F16")
    shapes.write_shape("qwen05", copy, "F16", vocabulary=source)
    first, second = (build_tokenizer(GGUF.open(path).metadata) for path in (source, copy))
    assert first.vocab_size == second.vocab_size == 600
    assert first.encode("so it is") == second.encode("so it is")


@pytest.mark.parametrize("name", sorted(shapes.SHAPES))
def test_every_shape_is_that_of_a_model(name, tmp_path, monkeypatch):
    monkeypatch.setitem(shapes.SHAPES, name, replace(shapes.SHAPES[name], V=600))
    path = tmp_path / "sparse.gguf"
    writer, planned = shapes.begin_file(name, path, "Q4_K_M")
    for tensor in planned[:3]:  # divisors of positions are read; the other weights never are
        writer.write_tensor_data(shapes.fill(tensor))
    writer.close()
    os.truncate(path, 1 << 36)
    file = GGUF.open(path)
    assert len(file.tensors) == len(planned)
    assert loading.build(file, loading.trained_context(file)).states  # refuses what is left over
