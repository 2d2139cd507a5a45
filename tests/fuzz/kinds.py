"""The kinds of mutated files and the commands that read them; creates a file of each kind."""

import json
import os
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from make_gguf import CHATML, write_model

from fuzz.mutation import mutated
from lepton_cli.engine.library.paths import cache_folder
from lepton_cli.engine.text.fallback_templates import BUILT_IN
from lepton_cli.program import run
from ops.compiled.kernel_folder import KernelFolder, pack

Words = list[str]
QUICK = ("--backend", "reference", "-c", "128", "-n", "3", "--temp", "0", "--no-stdin")
MODEL, ROWS, TEXT = "model.gguf", "rows.jsonl", "Hello <|im_end|> w\u00f6rld \U0001f600"
BLOCKS = "cache/lepton/prefixes/*/*.kv"
LONG = "a long text that is worth keeping " * 12
REFUSED = range(2, 7)


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a mutated file: exit code and output of each command."""

    folder: Path
    data: bytes
    seeds: Sequence[bytes]
    codes: Sequence[int]
    printed: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Kind:
    """`commands` are run on a mutated file, in a folder with a model and rows.

    What must hold beyond an exit code that is documented, `judge` says: what is wrong, or "".
    """

    name: str
    share: int  # of all files
    place: str  # the file, in the folder; with a star that of the seeds' making
    seeds: Callable[[Path], list[bytes]]
    commands: Callable[[Random, str], list[Words]]
    tokens: Sequence[bytes] = ()
    judge: Callable[["Trial"], str] = lambda trial: ""
    change: Callable[[bytes, Sequence[bytes], Sequence[bytes], Random], bytes] = mutated


def prepare(folder: Path) -> None:
    """Creates a model, rows and Lepton's own folders, and sets the variables for them."""
    metadata = {"tokenizer.chat_template": CHATML, "llama.context_length": 1024}
    write_model(folder / MODEL, metadata=metadata, dimensions={"d": 32})  # blocks of q8_0
    rows = [{"id": n, "prompt": f"Say {n}."} for n in range(3)]
    (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    kernels = cache_folder() / "kernels"
    (folder / "cache" / "lepton").mkdir(parents=True, mode=0o700)
    (folder / "cache" / "lepton" / "kernels").symlink_to(kernels)
    for name in ("CACHE", "CONFIG", "STATE"):
        os.environ[f"XDG_{name}_HOME"] = str(folder / name.lower())
    for part in ("config/lepton", "state/lepton/sessions", "store"):
        (folder / part).mkdir(parents=True, mode=0o700)
    os.environ["OLLAMA_MODELS"] = str(folder / "store")


# --- models ---------------------------------------------------------------------------------

PRESETS = ("llama", "qwen3moe", "gemma3", "phi3", "gpt2", "gpt-oss")
TAMPERED: Sequence[Any] = (
    *(0, 1, -1, 3, 255, 1 << 16, (1 << 31) - 1, 0.0, -1.5, 1e38, float("nan"), float("inf")),
    *("", "llama", "\U0001f600" * 40, "{{", True, [], [0], [-1] * 9, ["a"] * 300, [1e9] * 70),
    *("{{ messages[0]['content'] * 99999999 }}", None),
)


def _models(folder: Path) -> list[bytes]:
    data = []
    for preset in PRESETS:
        metadata = {"tokenizer.chat_template": CHATML}
        path = write_model(folder / "seed.gguf", preset, weights="Q8_0", metadata=metadata)
        data.append(path.read_bytes())
    return data


def _try_model(random: Random, file: str) -> list[Words]:
    backend = ("--backend", random.choice(("reference", "cpu")))
    return [
        ["inspect", file, "--metadata", "--tensors"],
        ["verify", file],
        ["diff", file, "builtin"],
        ["plan", file, "--backend", "cpu"],
        ["tokenize", file, TEXT, "--parse-special"],
        ["template", file, TEXT],
        ["run", file, "hi", *QUICK, *backend],
    ]


def _tampered(
    data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], random: Random
) -> bytes:
    """A valid file with one to three changed or missing keys, or a missing tensor."""
    preset = random.choice(PRESETS)
    keys = [f"{preset.partition('-')[0]}.{key}" for key in KEYS] + [*TOKENIZER_KEYS]
    changed = {key: random.choice(TAMPERED) for key in random.sample(keys, random.randint(1, 3))}
    tensors: dict[str, Any] = {}
    if random.random() < 0.2:
        name = random.choice(("output_norm.weight", "blk.0.attn_q.weight", "token_embd.weight"))
        tensors[name] = random.choice((None, "D", "DD", "VD", "DV"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tampered.gguf"
        try:
            return write_model(path, preset, metadata=changed, tensors=tensors).read_bytes()
        except (struct.error, OverflowError, TypeError, ValueError):  # not representable in a file
            return data


KEYS = (
    *("vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length"),
    *("attention.head_count", "attention.head_count_kv", "attention.key_length"),
    *("attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.freq_base"),
    *("rope.scaling.type", "rope.scaling.factor", "attention.sliding_window", "expert_count"),
    *("expert_used_count", "expert_feed_forward_length"),
)
TOKENIZER_KEYS = (
    *("general.architecture", "general.name", "general.alignment", "tokenizer.chat_template"),
    *("tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens"),
    *("tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"),
    *("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"),
    *("tokenizer.ggml.add_bos_token", "split.count"),
)

# --- texts of a person or a file ------------------------------------------------------------


def _encoded(*texts: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [text.encode() for text in texts]


def _templates(folder: Path) -> list[bytes]:
    macro = "{% macro m(x) %}{{ x | tojson }}{% endmacro %}{% set ns = namespace(n=0) %}"
    loop = "{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ m(m) }}{{ ns.n }}{% endfor %}"
    return [text.encode() for text in (*BUILT_IN.values(), CHATML, macro + loop)]


def _run_with(*flags: str) -> Callable[[Random, str], list[Words]]:
    return lambda random, file: [["run", MODEL, "hi", *QUICK, *flags, file]]


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5, "pattern": "^[a-z]+$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 9},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        "next": {"$ref": "#/$defs/node"},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"node": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
}
GRAMMAR = 'root ::= item+ "\\n"\nitem ::= [a-z]{1,3} ("," item)* | "x" [^\\x00-\\x1f] .?\n'
REGEX = r"(?:[a-z]{1,3}|\d+(?:\.\d*)?)(?:,\w+)*[^\n\u00e9]?"
SCHEMA_TOKENS = (
    *(b'"type"', b'"$ref":"#"', b'"allOf":[', b'"not":{}', b"{", b"[", b"}", b"]", b'"a"', b","),
    *(b'"pattern":"(a+)+$"', b"1e999", b"-0", b"null", b'"minItems":99999999', b'"oneOf":[{}]'),
)
TEMPLATE_TOKENS = (
    *(b"{{", b"}}", b"{%", b"%}", b"{% for x in range(99999999) %}", b"{% endfor %}", b"|join"),
    *(b" * 99999999", b"|tojson", b"messages", b".__class__", b"['content']", b"|map('upper')"),
    *(b"{% if true %}", b"{% endif %}", b"**", b"(", b")", b"namespace(", b"~", b"{#"),
)
GRAMMAR_TOKENS = (
    *(b"root", b"::=", b"|", b"(", b")", b"*", b"+", b"?", b"{1,999999}", b"{0}", b"[^", b"]"),
    *(b'""', b'"', b"\\x", b"\\U0010FFFF", b"#", b"\n", b"root root", b"."),
)
REGEX_TOKENS = (
    *(b"(", b")", b"(?:", b"[", b"]", b"[^", b"*", b"+", b"?", b"{1,9999999}", b"{9}{9}{9}", b"|"),
    *(b"\\d", b"\\1", b"(?=a)", b"(?<!a)", b"\\p{L}", b"^", b"$", b"\\", b".", b"(?i)"),
)


def _try_regex(random: Random, file: str) -> list[Words]:
    text = Path(file).read_bytes().decode(errors="surrogateescape").replace("\0", "")
    return [["run", MODEL, "hi", *QUICK, f"--regex={text}"]]


# --- files of Lepton's own ------------------------------------------------------------------

CONFIG = "temp = 0.7\ntop-k = 40\n[run]\nseed = 1\n[chat]\nplain = true\n"
SAVED = {
    "format": "lepton-chat",
    "version": 1,
    "model": "tiny",
    "messages": [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello.", "reasoning": "hm", "finish": "stop"},
    ],
}
SESSION = (
    '{"format": "lepton-session", "version": 1}\n'
    '{"turn": "aa", "after": null, "role": "user", "content": "hi"}\n'
    '{"turn": "bb", "after": "aa", "role": "assistant", "content": "Hello", "finish": "stop",'
    ' "tokens": [9, 8], "identity": "00"}\n'
    '{"at": "bb", "time": 1784812345, "model": "tiny", "file": "/none/model.gguf"}\n'
)
MOST_ROWS = 4000  # bytes
LINES = [f'{{"id": {n}, "prompt": "Say {n}.", "temperature": 0.{n}}}\n' for n in range(4)]
CSV = "id,text,n\n1,hello,2\n2,\"a, 'b'\nc\",3\n"
MANIFEST = (
    '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:00"}]}'
)
JSON_TOKENS = (b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"1e999", b'"\\ud800"', b"\n")


def _some_rows(
    data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], random: Random
) -> bytes:
    """Limits the number of valid rows: each is answered, which takes time."""
    return mutated(data, others, tokens, random)[:MOST_ROWS]


def _try_rows(random: Random, file: str) -> list[Words]:
    wording = ("-p", "{text}") if random.random() < 0.3 else ()
    return [["batch", MODEL, file, *QUICK[:-1], *wording]]


def _results(folder: Path) -> list[bytes]:
    assert run(["batch", MODEL, ROWS, *QUICK[:-1], "-o", "whole.jsonl"]) == 0
    whole = (folder / "whole.jsonl").read_bytes()
    return [whole, whole[:-20], whole.splitlines(keepends=True)[0], b'{"row": 1}\n', b"notes"]


def _judge_results(trial: Trial) -> str:
    """Checks that a refused file is unchanged, and that otherwise no complete line is lost."""
    after = (trial.folder / "results.jsonl").read_bytes()
    if trial.codes[0] in REFUSED:
        return "" if after == trial.data else "a refused file was changed"
    there = set(after.split(b"\n"))
    lost = [line for line in trial.data.split(b"\n")[:-1] if line and line not in there]
    return f"a line was lost: {lost[0][:60]!r}" if lost else ""


def _prefixes(folder: Path) -> list[bytes]:
    assert run(_long_run()) == 0
    return [min(folder.glob(BLOCKS)).read_bytes()]


def _long_run() -> Words:
    return ["run", MODEL, LONG, "--raw", "--no-stdin", "--backend", "cpu", "-n", "3", "-s", "1"]


def _judge_prefix(trial: Trial) -> str:
    """Compares with an answer without cache."""
    return "" if trial.printed[0] == trial.printed[1] else "a damaged block changed the answer"


def _kernel(folder: Path) -> list[bytes]:
    (folder / "kernels").mkdir(mode=0o700, exist_ok=True)
    return [KernelFolder(folder / "kernels").with_checksum("scale", pack(b"code" * 50, "entry"))]


def _judge_kernel(trial: Trial) -> str:
    found = KernelFolder(trial.folder / "kernels").read("scale")
    untouched = trial.data in trial.seeds
    return "" if found is None or untouched else "a damaged kernel was loaded"


KINDS: Sequence[Kind] = (
    Kind("model files", 40, "fuzzed.gguf", _models, _try_model),
    Kind("models' keys", 10, "fuzzed.gguf", _models, _try_model, change=_tampered),
    Kind(
        *("chat templates", 10, "chat.jinja", _templates),
        lambda random, file: [["template", MODEL, TEXT, "--chat-template-file", file]],
        TEMPLATE_TOKENS,
    ),
    Kind(
        *("JSON schemas", 8, "schema.json", _encoded(json.dumps(SCHEMA))),
        *(_run_with("-jf"), SCHEMA_TOKENS),
    ),
    Kind(
        *("GBNF grammars", 8, "g.gbnf", _encoded(GRAMMAR)),
        *(_run_with("--grammar-file"), GRAMMAR_TOKENS),
    ),
    Kind("regexes", 6, "regex.txt", _encoded(REGEX), _try_regex, REGEX_TOKENS),
    Kind(
        *("configurations", 4, "config/lepton/config.toml", _encoded(CONFIG)),
        lambda random, file: [["run", MODEL, "hi", *QUICK]],
        (b"[", b"]", b"=", b'"', b"'''", b"[[run]]", b"a.b.c", b"1e999", b"nan", b"\n"),
    ),
    Kind(
        *("saved chats", 4, "saved.json", _encoded(json.dumps(SAVED))),
        lambda random, file: [["chat", MODEL, "--load", file, "hi", *QUICK[:-1]]],
        JSON_TOKENS,
    ),
    Kind(
        *("autosaved chats", 4, "state/lepton/sessions/hi.jsonl", _encoded(SESSION)),
        lambda random, file: [
            ["sessions", "show", "hi"],
            ["chat", MODEL, "--resume", "hi", "hi", *QUICK[:-1]],
        ],
        JSON_TOKENS,
    ),
    Kind(
        *("rows as JSONL", 4, "rows.fuzzed.jsonl", _encoded("".join(LINES))),
        *(_try_rows, JSON_TOKENS),
        change=_some_rows,
    ),
    Kind(
        *("rows as CSV", 2, "rows.csv", _encoded(CSV), _try_rows),
        (b'"', b",", b"\r\n", b"\0"),
        change=_some_rows,
    ),
    Kind(
        *("results of batches", 3, "results.jsonl", _results),
        lambda random, file: [["batch", MODEL, ROWS, *QUICK[:-1], "-o", file]],
        JSON_TOKENS,
        _judge_results,
    ),
    Kind(
        *("prefix blocks", 2, BLOCKS, _prefixes),
        lambda random, file: [_long_run(), [*_long_run(), "--prefix-cache", "0"]],
        judge=_judge_prefix,
    ),
    Kind(
        *("kernels", 2, "kernels/scale.kernel", _kernel, lambda random, file: []),
        judge=_judge_kernel,
    ),
    Kind(
        *("ollama's lists", 2, "store/manifests/registry.ollama.ai/library/m/latest"),
        *(_encoded(MANIFEST), lambda random, file: [["models"], ["run", "m", "hi", *QUICK]]),
        JSON_TOKENS,
    ),
)
