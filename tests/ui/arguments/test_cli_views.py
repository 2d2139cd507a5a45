"""`lepton inspect`, `tokenize`, `models` and `doctor`: what they show of small files."""

import json
import os
import re
from pathlib import Path

import pytest
from make_gguf import CHATML, write_model

from lepton_cli.__main__ import run
from lepton_cli.engine.library.catalogue import load_aliases, resolve
from lepton_cli.models.registry import ARCHITECTURES
from lepton_cli.ui.reports.numbers import amount, columns, facts, size


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    hostile = {"general.name": "evil\x1b[2J\nname", "tokenizer.chat_template": CHATML}
    return write_model(folder / "tiny.gguf", weights="Q4_K", metadata=hostile)


@pytest.fixture
def shown(capfdbinary):
    def show(*args: object) -> str:
        code = run([str(arg) for arg in args])
        out, err = capfdbinary.readouterr()
        assert (code, err) == (0, b"")
        return out.decode()

    return show


# --- inspect


def test_inspect_tells_what_the_file_is(shown, path):
    lines = shown("inspect", path).splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines[1:])
    assert lines[0] == str(path)
    assert facts["architecture"] == "llama"
    assert facts["context"] == "256"
    assert facts["layers"] == "2"
    assert facts["quantization"].startswith("Q4_K 99.")
    assert "bits a weight" in facts["quantization"]
    assert facts["template"] == f"{len(CHATML)} characters"
    assert "tokens" in facts["tokenizer"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([0, 2] * 30, "0 to 2, by layer"), ([4] * 60, "4"), ([0] * 60, None), (0, None), (8, "8")],
)
def test_inspect_sums_up_what_differs_by_layer(shown, tmp_path, numbers, said):
    given = {"llama.attention.head_count_kv": numbers}
    text = shown("inspect", write_model(tmp_path / "m.gguf", metadata=given))
    rows = dict(re.findall(r"^  (\S.*?)  +(.+)$", text, re.MULTILINE))
    assert rows["layers"] == "2"
    assert rows.get("kv heads") == said


@pytest.mark.parametrize(
    ("preset", "rows"),
    [
        (
            "qwen35moe",
            {
                "layers": "2: 1 gated delta net, 1 attention",
                "attention": "4 query heads, 2 kv heads, width 16",
                "experts": "4, 2 for each token, 1 shared, 0.188 times as wide",
                "kv cache": "128 B a token (f16)",
                "state": "5.63 kB a sequence",
            },
        ),
        ("deepseek2", {"attention": "4 query heads, 1 kv head, width 40, values 32"}),
        ("qwen2moe", {"layers": "2", "experts": "4, 2 for each token, 1 shared"}),
        ("qwen3moe", {"experts": "4, 2 for each token"}),
        ("kimi-k3", {"experts": "4, 2 for each token, 1 shared"}),
        ("gemma3", {"layers": "6: 5 attention in a window of 8, 1 attention"}),
        ("falcon-h1", {"layers": "2, all attention + state space"}),
        ("nemotron_h", {"layers": "3: 1 state space, 1 attention, 1 feed-forward alone"}),
        ("rwkv7", {"layers": "2, all linear attention", "attention": None, "kv cache": None}),
        ("lfm2moe", {"layers": "2: 1 attention in a window of 8, 1 short convolution"}),
    ],
)
def test_inspect_tells_what_a_recorded_model_consists_of(shown, tmp_path, preset, rows):
    text = shown("inspect", write_model(tmp_path / "m.gguf", preset))
    found = dict(re.findall(r"^  (\S.*?)  +(.+)$", text, re.MULTILINE))
    assert {name: found.get(name) for name in rows} == rows


def test_inspect_counts_the_parameters_of_one_token(shown, tmp_path):
    """Of four experts of three matrices in each of two layers two are idle."""
    path = write_model(tmp_path / "m.gguf", "qwen3moe", dimensions={"D": 64, "F": 128})
    record = json.loads(shown("inspect", path, "--json"))
    idle = 2 * 2 * 3 * 64 * 128
    assert record["structure"]["active_parameters"] == record["parameters"] - idle
    assert record["structure"]["layers"] == {"attention": 2}
    assert record["next_token_heads"] == 0


def test_inspect_counts_blocks_that_guess_further_tokens(shown, tmp_path):
    path = write_model(tmp_path / "m.gguf", tensors={"blk.2.nextn.eh_proj.weight": "DD"})
    assert re.search("next token  +1 head to guess further tokens", shown("inspect", path))


def test_inspect_says_why_a_file_cannot_run(shown, tmp_path):
    path = write_model(tmp_path / "m.gguf", tensors={"output_norm.weight": None})
    assert re.search(
        r"cannot run  +the tensor output_norm.weight is missing", shown("inspect", path)
    )
    record = json.loads(shown("inspect", path, "--json"))
    assert record["structure"] is None
    assert record["obstacle"] == "the tensor output_norm.weight is missing"


def test_inspect_shows_metadata_and_tensors_when_asked(shown, path):
    text = shown("inspect", path, "--metadata", "--tensors")
    assert "tokenizer.ggml.bos_token_id" in text
    assert "blk.1.attn_q.weight" in text
    assert len(text.splitlines()) > len(shown("inspect", path).splitlines()) + 20


def test_inspect_json_holds_all_of_it(shown, path):
    record = json.loads(shown("inspect", path, "--json", "--tensors"))
    assert record["schema"] == "lepton.inspect.v1"
    assert (record["architecture"], record["context"], record["template"]) == ("llama", 256, CHATML)
    assert record["file_bytes"] == os.path.getsize(path)
    weights = sum(share["weights"] for share in record["quantization"])
    assert weights == record["parameters"]
    assert sum(tensor["bytes"] for tensor in record["tensors"]) == sum(
        share["bytes"] for share in record["quantization"]
    )
    assert (
        record["tokenizer"]["tokens"] == record["metadata"]["tokenizer.ggml.tokens"]["array_length"]
    )


def test_inspect_gives_the_template_byte_for_byte(shown, path):
    assert shown("inspect", path, "--template") == CHATML + "\n"


def test_inspect_looks_into_files_that_cannot_run(shown, tmp_path):
    keys = {"general.architecture": None, "llama.block_count": None, "x.inf": float("inf")}
    odd = write_model(tmp_path / "odd.gguf", metadata=keys)
    assert "inf" in shown("inspect", odd, "--metadata")
    assert json.loads(shown("inspect", odd, "--json"))["metadata"]["x.inf"] == "inf"


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 2, "no such file"),
        (b"", 3, "empty"),
        (b"GGUF\x03\0", 3, "ends inside"),
        (b"PK", 3, "GGUF"),
    ],
)
def test_inspect_of_no_model_file_is_one_line(capsys, tmp_path, content, code, words):
    path = tmp_path / "x.gguf"
    if content is not None:
        path.write_bytes(content)
    assert run(["inspect", str(path)]) == code
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("lepton: error: ")
    assert words in err.splitlines()[0]
    assert "x.gguf" in err.splitlines()[0]


# --- tokenize


def test_tokenize_shows_ids_and_pieces(shown, path):
    record = json.loads(shown("tokenize", path, "a b", "--json"))
    lines = shown("tokenize", path, "a b").splitlines()
    assert [int(line.split()[0]) for line in lines] == record["ids"]
    assert [json.loads(line.split(maxsplit=1)[1]) for line in lines] == record["pieces"]
    assert json.loads(shown("tokenize", path, "a b", "--ids")) == record["ids"]


def test_tokenize_leaves_out_the_begin_token_when_told(shown, path):
    whole = json.loads(shown("tokenize", path, "a b", "--ids"))
    assert json.loads(shown("tokenize", path, "a b", "--ids", "--no-bos")) == whole[1:]


def test_tokenize_takes_special_tokens_for_text_unless_told(shown, path):
    text = json.loads(shown("tokenize", path, "</s>", "--ids"))
    special = json.loads(shown("tokenize", path, "</s>", "--ids", "--parse-special"))
    assert len(special) == 2
    assert len(text) > 2


def test_tokenize_reads_files(shown, path, tmp_path):
    (tmp_path / "a.txt").write_text("a b\n")
    assert shown("tokenize", path, "-f", tmp_path / "a.txt") == shown("tokenize", path, "a b")


# --- template


def test_template_shows_the_exact_prompt(shown, path):
    text = shown("template", path, "hi", "-sys", "Be brief.")
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n\n"
    )


def test_template_takes_another_one(shown, path):
    given = ("--chat-template", "{{ messages[0]['content'] }}!")
    assert shown("template", path, "hi", *given) == "hi!\n"


def test_template_check_exits_1_for_a_fault_and_0_for_notes(shown, path, capfdbinary):
    missing = "the template has no place for the tools, calls of tools"
    assert shown("template", path, "--check") == f"note: tools: {missing}\n"
    drops = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    assert run(["template", str(path), "--check", "--chat-template", drops]) == 1
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"fault: system: the template loses a system prompt: ")
    assert err == b""


@pytest.mark.parametrize("given", [["hi"], ["-p", "hi"], ["-f", "hi"]])
def test_template_check_takes_no_text(path, capfdbinary, given):
    assert run(["template", str(path), *given, "--check"]) == 2
    assert b"--check takes no text, but 'hi' is given" in capfdbinary.readouterr().err


# --- models and doctor


def test_models_lists_aliases_and_what_is_on_disk(shown, monkeypatch, tmp_path):
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path))
    write_model(tmp_path / "mine.gguf")
    lines = shown("models").splitlines()
    assert lines[0].split() == ["name", "size", "where"]
    assert any(line.split()[0] == "builtin" for line in lines)
    assert any(line.split()[0] == "mine.gguf" and "llama.cpp" in line for line in lines)
    models = {model["name"]: model for model in json.loads(shown("models", "--json"))["models"]}
    assert models["mine.gguf"]["path"] == str(tmp_path / "mine.gguf")
    assert models["qwen3-0.6b"]["path"] is None


LLAMA = "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF/Meta-Llama-3.1-8B-Instruct-Q5_K_M.gguf"


@pytest.fixture
def caches(monkeypatch, tmp_path):
    """A model in a cache under a long name."""
    for variable in ("LLAMA_CACHE", "OLLAMA_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    user, repo, file = LLAMA.split("/")
    snapshot = tmp_path / f"HF_HUB_CACHE/models--{user}--{repo}/snapshots/1"
    snapshot.mkdir(parents=True)
    return write_model(snapshot / file)


def test_models_shows_first_what_is_on_this_disk(shown, caches):
    here, absent = shown("models").split("\n\n")
    *rows, last = absent.splitlines()[1:]
    assert [line.split()[0] for line in here.splitlines()] == ["name", "builtin", LLAMA]
    for line in rows:
        name, repo = re.split(r" +[\d.]+ [MG]B  ", line)
        assert repo == load_aliases()[name].repo
    assert last == "to get one: lepton pull NAME"
    names = [model["name"] for model in json.loads(shown("models", "--json"))["models"]]
    assert names[:2] == ["builtin", LLAMA] and set(load_aliases()) < set(names)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_architectures_have_a_row_each_on_a_terminal(shown, monkeypatch, width):
    monkeypatch.setattr("lepton_cli.ui.commands.architectures.width_of", lambda stream: width)
    header, *rows = shown("models", "--architectures").splitlines()
    assert [row.split()[0] for row in rows] == sorted(ARCHITECTURES)
    assert max(map(len, [header, *rows])) <= width
    assert any("llama.cpp" in row for row in rows)


def test_the_documented_table_of_architectures_is_the_printed_one(shown):
    """To mend it: lepton models --architectures > docs/architectures.txt"""
    documented = Path(__file__).parents[3] / "docs" / "architectures.txt"
    assert shown("models", "--architectures") == documented.read_text(encoding="utf-8")


def test_architectures_name_their_recordings_in_json(shown):
    listed = json.loads(shown("models", "--architectures", "--json"))["architectures"]
    found = {one["name"]: one["recordings"] for one in listed}
    assert found == {name: list(entry.recordings) for name, entry in ARCHITECTURES.items()}


@pytest.mark.parametrize("width", [40, 80, 200])
def test_models_has_a_row_for_each_on_a_terminal(shown, caches, monkeypatch, width):
    monkeypatch.setattr("lepton_cli.ui.commands.models.width_of", lambda stream: width)
    lines = shown("models").splitlines()
    assert all(len(line) <= width for line in lines)
    rows = {line.split()[0]: line for line in lines if re.search(r" [\d.]+ [kMG]?B  ", line)}
    assert width == 40 or (LLAMA if width == 200 else caches.name) in rows
    assert len(rows) == len(load_aliases()) + 1
    assert resolve(caches.name) == caches


def test_models_cuts_no_name_to_that_of_another_model(shown, caches, monkeypatch):
    other = Path(str(caches).replace("bartowski", "somebody"))
    other.parent.mkdir(parents=True)
    caches.rename(other)
    write_model(caches)
    monkeypatch.setattr("lepton_cli.ui.commands.models.width_of", lambda stream: 80)
    rows = [line.split()[0] for line in shown("models").splitlines() if "hugging face" in line]
    assert [row[:8] for row in rows] == ["bartowsk", "somebody"]


def test_doctor_says_what_is_used_and_why(shown):
    text = shown("doctor")
    for subject in ("lepton", "python", "processor", "threads", "memory", "backend", "kernels"):
        assert f"\n{subject}" in f"\n{text}"
    findings = json.loads(shown("doctor", "--json"))["findings"]
    told = {finding["subject"]: finding for finding in findings}
    assert int(told["threads"]["value"]) >= 1
    assert told["threads"]["reason"]


# --- figures


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (1_234_567_890, "1.23 GB")],
)
def test_sizes_are_reported_in_powers_of_a_thousand(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(7, "7"), (260_000, "260 K"), (1_240_000_000, "1.24 B")]
)
def test_amounts_are_reported_shortly(count, text):
    assert amount(count) == text


def test_columns_are_aligned():
    assert columns([("a", "1"), ("bb", "22")], right=(1,)) == "a    1\nbb  22\n"


def test_facts_are_broken_at_words_below_their_begin():
    rows = [("cpu", "avx512 (the best of those here)"), ("place", "/a/path/longer/than/a/row/is")]
    assert facts(rows, 29) == (
        "cpu    avx512 (the best of\n       those here)\nplace  /a/path/longer/than/a/row/is\n"
    )
    assert facts(rows, 12) == facts(rows, None) == columns(rows)
