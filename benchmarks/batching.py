"""Many sequences at once, Lepton and llama.cpp in turn: total tokens per second.

    python benchmarks/batching.py MODEL.gguf --python ~/llama/bin/python -t 2

Prompts of 16 tokens that have nothing in common, then one token of each sequence a pass. llama.cpp
counts as its llama-batched-bench does, without drawing tokens. Lepton reads all prompts in one
pass; its time goes from there to the end of the last answer, drawing included.
"""

import argparse
import statistics
import sys
from pathlib import Path
from random import Random

from compare import wait_for_quiet
from peer import LlamaProcess, PeerError, build_of

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling
from ops.machine import cpu_name, default_threads

PROMPT = 16


def theirs(peer: LlamaProcess, sequences: int, count: int) -> float:
    """Tokens per second. Raises PeerError."""
    seconds = peer.ask(n_seqs=sequences, n_prompt=PROMPT, n_gen=count)
    return sequences * count / seconds


def ours(model: Model, random: Random, sequences: int, count: int) -> float:
    """Tokens per second."""
    wanted = Generation(Sampling(temperature=0), count, ignore_eos=True, split_reasoning=False)
    size = model.tokenizer.vocab_size
    prompts = [tuple(random.randrange(size) for _ in range(PROMPT)) for _ in range(sequences)]
    requests = [Request(key, ids, wanted) for key, ids in enumerate(prompts)]
    outcomes = list(model.batch(requests, sequences))
    slowest = max(outcome.done.stats.decode_seconds for outcome in outcomes if outcome.done)
    return sequences * (count - 1) / slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--python", default=sys.executable, help="that has llama-cpp-python")
    parser.add_argument("-t", "--threads", type=int, default=default_threads().count)
    parser.add_argument("-n", "--generate", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    given = parser.parse_args()
    context, random, most = PROMPT + given.generate, Random(0), max(given.sequences)
    at_once = PROMPT * most
    options = LoadOptions("cpu", given.threads, ctx=max(context, at_once), ubatch=at_once)
    print(
        f"{cpu_name()}, {given.threads} threads, {given.rounds} rounds in turn, {given.model.name}"
    )
    print(build_of(given.python))
    print("\n| sequences | llama.cpp | Lepton | ratio | of the rounds |\n|---|---:|---:|---:|---|")
    room, limit = most * -(-context // 256) * 256, ["--sequences", str(most)]
    peer = LlamaProcess(given.python, "together", given.model, given.threads, room, *limit)
    with peer, open_model(given.model, options) as model:
        for sequences in given.sequences:
            sides: list[tuple[float, float]] = []
            for _ in range(given.rounds + 1):  # the first one warms up
                wait_for_quiet()
                left = theirs(peer, sequences, given.generate)
                wait_for_quiet()
                sides.append((left, ours(model, random, sequences, given.generate)))
            pairs = sides[1:]
            ratios = [right / left for left, right in pairs]
            left, right = (statistics.median(side) for side in zip(*pairs, strict=True))
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            ratio = f"{statistics.median(ratios):.2f}x"
            print(
                f"| {sequences} | {left:.0f} t/s | {right:.0f} t/s | {ratio} | {spread} |",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except PeerError as error:
        raise SystemExit(str(error)) from error
