"""`lepton bench`: measures and prints results in llama-bench's formats."""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import cast

from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.loading.plan import CacheTypes
from lepton_cli.engine.measure.benchmark import Schedule, Setup, benchmark
from lepton_cli.engine.measure.workload import Trial
from lepton_cli.ui.arguments.lists import numbers, words
from lepton_cli.ui.arguments.options.bench import BenchOptions
from lepton_cli.ui.open_model import gpu_layers
from lepton_cli.ui.reports import bench_tables, roofline
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.status_line import StatusLine
from quant.errors import UsageError


def run_benchmark(name: str, options: BenchOptions) -> None:
    """Prints each result as it comes. Raises LeptonError."""
    path, schedule = resolve(name), plan(options)
    plot = Path(options.plot) if options.plot is not None else None
    if plot is not None:
        roofline.check(plot)
    if options.profile and options.output == "csv":
        raise UsageError("a profile does not fit into CSV", "use -o md, json or jsonl")
    table = bench_tables.TABLES[options.output](sys.stdout, schedule)
    results, noted = [], set[str]()
    with StatusLine() as progress:
        for result in benchmark(path, schedule, progress):
            progress.clear()
            if result.no_gpu and result.no_gpu not in noted:
                noted.add(result.no_gpu)
                note(result.no_gpu)
            table.add(result)
            results.append(result)
    table.end()
    if plot is not None:
        roofline.draw(results, plot)


def plan(options: BenchOptions) -> Schedule:
    """The schedule of all combinations of options. Raises UsageError."""
    threads = [None if n < 0 else n for n in numbers("-t", options.threads, "-1", least=-1)]
    if 0 in threads:
        raise UsageError("-t 0", "give the number of threads, or leave it out")
    types = [words(given, "f16") for given in (options.cache_type_k, options.cache_type_v)]
    setups = [
        # Setup checks the types
        Setup(count, ubatch, cast(CacheTypes, kv), options.backend, gpu_layers(layers))
        for layers in words(options.gpu_layers, "auto")
        for ubatch in numbers("-ub", options.ubatch_size, "512", least=1)
        for kv in product(*types)
        for count in threads
    ]
    return Schedule(
        setups=setups,
        trials=list(_trials(options)),
        repetitions=options.repetitions,
        warm_up=not options.no_warmup,
        profile=options.profile,
    )


def _trials(options: BenchOptions) -> Iterator[Trial]:
    """The trials in llama-bench's order: for each depth prompts, answers, then both."""
    prompts = numbers("-p", options.n_prompt, "512")
    answers = numbers("-n", options.n_gen, "128")
    pairs = [_pair(text) for text in options.prompt_gen or ()]
    for depth in numbers("-d", options.n_depth, "0"):
        shapes = [*((n, 0) for n in prompts), *((0, n) for n in answers), *pairs]
        yield from (Trial(prompt, answer, depth) for prompt, answer in shapes if prompt + answer)


def _pair(text: str) -> tuple[int, int]:
    pair = numbers("-pg", [text], "")
    if len(pair) != 2:
        raise UsageError(f"-pg {text!r}", "give two numbers, like -pg 512,128")
    return pair[0], pair[1]
