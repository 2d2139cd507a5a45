"""How much to leave out, so that a file is no larger than a size."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

from lepton_cli.engine.library.sizes import gigabytes
from lepton_cli.engine.pruning.choosing import Chooser, Wanted
from lepton_cli.engine.pruning.edits import Edited
from quant.errors import UsageError

By = Literal["layers", "channels", "heads", "experts"]
STEPS = 64  # of a share: more are not told apart


def fitted(chooser: Chooser, wanted: Wanted, by: By, most: int, order: Sequence[int]) -> Wanted:
    """What also has to be left out of the kind `by`, the least that reaches `most` bytes.

    `order`: the layers, the least important one first. Raises UsageError with the least possible
    size where that is more.
    """
    candidates = _candidates(chooser, wanted, by, order)
    low, high = 0, len(candidates) - 1
    least = size_of(chooser, candidates[high])
    if least > most:
        message = f"without {by} the model has {gigabytes(least)} at least, not {gigabytes(most)}"
        others = ", ".join(each for each in get_args(By) if each != by)
        raise UsageError(message, f"use --by ({others}), or lepton quantize")
    while low < high:
        middle = (low + high) // 2
        if size_of(chooser, candidates[middle]) <= most:
            high = middle
        else:
            low = middle + 1
    return candidates[low]


def size_of(chooser: Chooser, wanted: Wanted) -> int:
    """The bytes of the file that is left."""
    edit = chooser.choose(wanted)
    return Edited.of(chooser.file, chooser.program, edit).header().file_bytes


def _candidates(chooser: Chooser, wanted: Wanted, by: By, order: Sequence[int]) -> list[Wanted]:
    """From nothing more to all that can be left out."""
    if by == "layers":
        free = [layer for layer in order if layer not in wanted.layers]
        counts = range(chooser.program.layers - len(wanted.layers))
        return [replace(wanted, layers=wanted.layers | {*free[:count]}) for count in counts]
    with_share: dict[By, Callable[[float], Wanted]] = {
        "channels": lambda share: replace(wanted, channels=share),
        "heads": lambda share: replace(wanted, heads=share),
        "experts": lambda share: replace(wanted, experts=share),
    }
    first = wanted.share(by)
    return [with_share[by](first + (1 - first) * n / STEPS) for n in range(STEPS)]
