"""Perplexity and importance matrices beside llama.cpp, in CPU seconds of one thread a window.

    python benchmarks/perplexity.py MODEL... --python ~/peer/bin/python

Windows are random tokens. Of llama.cpp only the pass counts, of Lepton also the losses. Importance
is compared with Lepton's own pass without logits. The least of --rounds, both sides in turn.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from peer import LlamaProcess, PeerError, build_of

from lepton_cli.engine.imatrix.collecting import Collector, Run, collecting_options
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loss.perplexity import window_losses
from lepton_cli.engine.loss.scoring import options_for
from lepton_cli.engine.loss.windows import Cutting, TokenWindow
from lepton_cli.engine.model import Model, open_model

SIZE = 512
OPTIONS = LoadOptions("cpu", 1, ubatch=SIZE)


def scored(model: Model, window: TokenWindow) -> tuple[float, float]:
    """CPU seconds, and the mean loss."""
    begin = time.process_time()
    loss = float(window_losses(model, window).mean())
    return time.process_time() - begin, loss


def read(model: Model, window: TokenWindow) -> float:
    """CPU seconds of a pass that gives the logits of one token."""
    begin = time.process_time()
    for _ in model.window.logits_from(SIZE - 1, window.ids):
        pass
    return time.process_time() - begin


def collected(path: Path, ids: list[int]) -> float:
    """CPU seconds of a window, the least."""
    windows, times = Cutting(SIZE).windows(ids, None), []
    with open_model(path, collecting_options(OPTIONS, SIZE, of_output=False)) as model:
        found, begin = Collector(model, windows, Run("", ""), None).collect(), time.process_time()
        for _ in found:
            times.append(time.process_time() - begin)
            begin = time.process_time()
    return min(times[1:])


def measured(path: Path, given: argparse.Namespace) -> str:
    """A row of the table. Raises PeerError."""
    with (
        open_model(path, options_for(OPTIONS, SIZE)) as model,
        LlamaProcess(given.python, "score", path, 1, SIZE) as peer,
    ):
        draw = np.random.default_rng(0)
        ids = draw.integers(0, model.vocabulary_size, SIZE * (given.rounds + 1)).tolist()
        theirs, ours, passes = [], [], []
        for window in Cutting(SIZE).windows(ids, None):
            theirs.append(peer.answer({"window": window.ids}))
            ours.append(scored(model, window))
            passes.append(read(model, window))
    one, other = (
        min(times[1:]) for times in ([e["seconds"] for e in theirs], [s for s, _ in ours])
    )
    apart = max(abs(e["loss"] - loss) / loss for e, (_, loss) in zip(theirs, ours, strict=True))
    importance = collected(path, ids) / min(passes[1:])
    cells = (
        f"{one:.2f}",
        f"{other:.2f}",
        f"{one / other:.2f}x",
        f"{apart:.5f}",
        f"{importance:.2f}x",
    )
    return f"| {path.stem} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--python", required=True, help="that has llama-cpp-python")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    try:
        print(build_of(given.python), file=sys.stderr)
        print("| model | llama.cpp | Lepton | ratio | losses apart | importance / pass |")
        print("|---|---:|---:|---:|---:|---:|")
        for path in given.models:
            print(measured(path, given), flush=True)
    except PeerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
