"""llama.cpp's side of a comparison, run by an interpreter that has llama-cpp-python and no Lepton.

    python llamacpp.py serve MODEL --threads 2 --ubatch 512 --context 4640
    python llamacpp.py together MODEL --threads 2 --ubatch 512 --context 4096 --sequences 32
    python llamacpp.py embed MODEL --threads 1 --ubatch 512 --context 512
    python llamacpp.py score MODEL --threads 1 --ubatch 512 --context 512
    python llamacpp.py first MODEL --threads 2 --context 4096 --prompt TEXT [--generate 24]
    python llamacpp.py quantize SOURCE OUT Q4_K_M
    python llamacpp.py build

`serve` answers a line {"n_prompt": 512, "n_gen": 0, "n_depth": 0} with a line {"seconds": ...};
`together` answers {"n_seqs": 8, "n_prompt": 16, "n_gen": 64} with the seconds of generating them,
one of each sequence a pass, as llama-batched-bench counts them;
`embed` answers {"texts": [[101, ...], ...], "vectors": 3} with the CPU seconds that their vectors
take, run together as llama-embedding does, and with the first vectors;
`score` answers {"window": [101, ...]} with the CPU seconds of a pass that gives logits for its
second half, without what llama-perplexity makes of them, and with the scored tokens' mean loss;
`first` prints {"seconds": ..., "bytes": ...} of a whole run to its first token, or
to that of --generate. All leave out what Python itself and the binding take.
`build` prints {"version": ..., "system": ...}: what it was built for. Settings that are not options
are llama.cpp's defaults.
"""

import argparse
import ctypes
import json
import math
import random
import resource
import sys
import time
from pathlib import Path

import llama_cpp as api

CHUNK = 2048  # tokens handed over at a time: llama.cpp's default n_batch
KILOBYTE = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss


class Context:
    """A loaded model with its own context; tokens are appended to it."""

    def __init__(
        self,
        path: Path,
        threads: int,
        ubatch: int,
        context: int,
        sequences: int = 1,
        *,
        embeds: bool = False,
    ) -> None:
        model = api.llama_model_default_params()
        model.n_gpu_layers = 0
        self.model = api.llama_model_load_from_file(str(path).encode(), model)
        settings = api.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = context, max(CHUNK, ubatch), ubatch
        settings.n_seq_max, settings.embeddings = sequences, embeds
        settings.n_threads = settings.n_threads_batch = threads
        self.handle = api.llama_init_from_model(self.model, settings)
        if not self.model or not self.handle:
            raise SystemExit(f"llama.cpp cannot open {path}")
        self.vocabulary = api.llama_model_get_vocab(self.model)
        self.size = api.llama_vocab_n_tokens(self.vocabulary)
        self.held: list[int] = []

    def enter(self, tokens: list[int]) -> None:
        """Runs tokens; computes the last one's logits, as llama-bench does."""
        for start in range(0, len(tokens), CHUNK):
            part = tokens[start : start + CHUNK]
            array = (ctypes.c_int32 * len(part))(*part)
            code = api.llama_decode(self.handle, api.llama_batch_get_one(array, len(part)))
            if code:
                raise SystemExit(f"llama_decode failed with {code}")
            self.held += part
        api.llama_synchronize(self.handle)

    def enter_together(
        self, rows: list[list[int]], position: int, *, wants_all: bool = False, first: int = 0
    ) -> None:
        """Runs the next tokens of each sequence, all from `position`, in one pass.

        With `wants_all` those from number `first` on give logits or a row.
        """
        count = sum(map(len, rows))
        batch = api.llama_batch_init(count, 0, 1)
        batch.n_tokens = count
        entries = [(s, n, token) for s, row in enumerate(rows) for n, token in enumerate(row)]
        for at, (sequence, n, token) in enumerate(entries):
            batch.token[at], batch.pos[at] = token, position + n
            batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
            batch.logits[at] = (wants_all and n >= first) or n == len(rows[sequence]) - 1
        code = api.llama_decode(self.handle, batch)
        api.llama_synchronize(self.handle)
        api.llama_batch_free(batch)
        if code:
            raise SystemExit(f"llama_decode failed with {code}")

    def embed(self, rows: list[list[int]]) -> list[list[float]]:
        """The vectors of texts that are run in one pass, as they are pooled by the file's kind."""
        api.llama_memory_clear(api.llama_get_memory(self.handle), True)
        self.enter_together(rows, 0, wants_all=True)
        width = api.llama_model_n_embd_out(self.model)
        vectors = (api.llama_get_embeddings_seq(self.handle, n) for n in range(len(rows)))
        return [list(vector[:width]) for vector in vectors]

    def keep(self, count: int) -> None:
        """Drops all tokens after the first `count`."""
        api.llama_memory_seq_rm(api.llama_get_memory(self.handle), 0, count, -1)
        del self.held[count:]

    def tokens(self, text: str) -> list[int]:
        raw = text.encode()
        array = (ctypes.c_int32 * (len(raw) + 8))()
        count = api.llama_tokenize(self.vocabulary, raw, len(raw), array, len(array), True, False)
        return list(array[:count])


def serve(context: Context) -> None:
    draw = random.Random(0)
    base: list[int] = []
    for line in sys.stdin:
        wanted = json.loads(line)
        n_prompt, n_gen, depth = (wanted[key] for key in ("n_prompt", "n_gen", "n_depth"))
        base += [draw.randrange(context.size) for _ in range(depth - len(base))]
        common = depth if context.held[:depth] == base[:depth] else 0
        context.keep(common)
        context.enter(base[common:depth])
        prompt = [draw.randrange(context.size) for _ in range(n_prompt)]
        generated = [draw.randrange(context.size) for _ in range(n_gen)]
        begin = time.perf_counter()
        context.enter(prompt)
        for token in generated:
            context.enter([token])
        print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)


def together(context: Context) -> None:
    draw = random.Random(0)
    for line in sys.stdin:
        wanted = json.loads(line)
        sequences, n_prompt, n_gen = (wanted[key] for key in ("n_seqs", "n_prompt", "n_gen"))
        api.llama_memory_clear(api.llama_get_memory(context.handle), True)
        for start in range(0, n_prompt, 16):
            count = min(16, n_prompt - start)
            rows = [[draw.randrange(context.size) for _ in range(count)] for _ in range(sequences)]
            context.enter_together(rows, start)
        begin = time.perf_counter()
        for n in range(n_gen):
            rows = [[draw.randrange(context.size)] for _ in range(sequences)]
            context.enter_together(rows, n_prompt + n)
        print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)


def score(context: Context) -> None:
    for line in sys.stdin:
        ids = json.loads(line)["window"]
        first = len(ids) // 2
        api.llama_memory_clear(api.llama_get_memory(context.handle), True)
        begin = time.process_time()
        context.enter_together([ids], 0, wants_all=True, first=first)
        seconds = time.process_time() - begin
        found = api.llama_get_logits(context.handle)
        losses = []
        for n, token in enumerate(ids[first + 1 :]):
            row = found[n * context.size : (n + 1) * context.size]
            top = max(row)
            total = sum(math.exp(value - top) for value in row)
            losses.append(top + math.log(total) - row[token])
        answer = {"seconds": seconds, "loss": sum(losses) / len(losses)}
        print(json.dumps(answer), flush=True)


def embed(context: Context, ubatch: int) -> None:
    for line in sys.stdin:
        wanted = json.loads(line)
        begin = time.process_time()
        found, batch = list[list[float]](), list[list[int]]()
        for text in wanted["texts"]:
            if sum(map(len, batch)) + len(text) > ubatch:
                found += context.embed(batch)
                batch = []
            batch.append(text)
        found += context.embed(batch)
        seconds = time.process_time() - begin
        print(json.dumps({"seconds": seconds, "vectors": found[: wanted["vectors"]]}), flush=True)


def first(given: argparse.Namespace) -> None:
    before, begin = peak_bytes(), time.perf_counter()
    context = Context(given.model, given.threads, given.ubatch, given.context)
    context.enter(context.tokens(given.prompt))
    greedy = api.llama_sampler_init_greedy()
    token = api.llama_sampler_sample(greedy, context.handle, -1)
    for _ in range(given.generate - 1):
        context.enter([token])
        token = api.llama_sampler_sample(greedy, context.handle, -1)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "bytes": peak_bytes() - before}))


def build() -> None:
    said = {"version": api.__version__, "system": api.llama_print_system_info().decode()}
    print(json.dumps(said))


def peak_bytes() -> int:
    """The process's own peak memory; ru_maxrss would include its parent's at the fork."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def quantize(source: Path, out: Path, kind: str) -> None:
    settings = api.llama_model_quantize_default_params()
    settings.ftype = getattr(api, f"LLAMA_FTYPE_MOSTLY_{kind}")
    code = api.llama_model_quantize(str(source).encode(), str(out).encode(), settings)
    if code:
        raise SystemExit(f"llama.cpp cannot make {out}: {code}")


@api.llama_log_callback
def hush(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    """Silences llama.cpp's stderr output."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("serve", "together", "embed", "score", "first"):
        command = commands.add_parser(name)
        command.add_argument("model", type=Path)
        command.add_argument("--threads", type=int, required=True)
        command.add_argument("--ubatch", type=int, default=512)
        command.add_argument("--context", type=int, required=True)
        if name in ("together", "embed"):
            command.add_argument("--sequences", type=int, required=True)
        if name == "first":
            command.add_argument("--prompt", required=True)
            command.add_argument("--generate", type=int, default=1)
    command = commands.add_parser("quantize")
    command.add_argument("source", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("type")
    commands.add_parser("build")
    given = parser.parse_args()
    api.llama_log_set(hush, ctypes.c_void_p(0))
    api.llama_backend_init()
    if given.command == "serve":
        serve(Context(given.model, given.threads, given.ubatch, given.context))
    elif given.command == "score":
        score(Context(given.model, given.threads, given.ubatch, given.context))
    elif given.command == "together":
        settings = given.threads, given.ubatch, given.context, given.sequences
        together(Context(given.model, *settings))
    elif given.command == "embed":
        settings = given.threads, given.ubatch, given.context, given.sequences
        embed(Context(given.model, *settings, embeds=True), given.ubatch)
    elif given.command == "first":
        first(given)
    elif given.command == "build":
        build()
    else:
        quantize(given.source, given.out, given.type)


if __name__ == "__main__":
    main()
