"""How much to leave out, so that a file is no larger than a size."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, get_args

from lepton_cli.engine.library.sizes import typed_size
from lepton_cli.engine.pruning.choosing import Chooser, Wanted
from lepton_cli.engine.pruning.edits import Edited
from quant.errors import UsageError

By = Literal["layers", "channels", "heads", "experts"]
STEPS = 64  # of a share: more are not told apart


def without_layers(chooser: Chooser, wanted: Wanted, most: int, order: Iterator[int]) -> Wanted:
    """What also has to be left out of the layers, in their order, to reach `most` bytes.

    Raises UsageError with the least possible size where that is more.
    """
    while (size := size_of(chooser, wanted)) > most:
        layer = next(order, None)
        if layer is None or len(wanted.layers) + 1 == chooser.program.layers:
            raise _too_small("layers", size, most)
        wanted = replace(wanted, layers=wanted.layers | {layer})
    return wanted


def without_shares(chooser: Chooser, wanted: Wanted, by: By, most: int) -> Wanted:
    """What also has to be left out of the kind `by`, the least that reaches `most` bytes.

    Raises UsageError with the least possible size where that is more.
    """
    with_share: dict[By, Callable[[float], Wanted]] = {
        "channels": lambda share: replace(wanted, channels=share),
        "heads": lambda share: replace(wanted, heads=share),
        "experts": lambda share: replace(wanted, experts=share),
    }
    assert by != "layers", "layers are no shares"
    first = wanted.share(by)
    candidates = [with_share[by](first + (1 - first) * n / STEPS) for n in range(STEPS)]
    low, high = 0, STEPS - 1
    least = size_of(chooser, candidates[high])
    if least > most:
        raise _too_small(by, least, most)
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
    return Edited(chooser.file, chooser.program, edit).header().file_bytes


def _too_small(by: By, least: int, most: int) -> UsageError:
    smallest = typed_size(least)
    message = f"without {by} the file has {smallest} bytes at least, not {typed_size(most)}"
    others = " or ".join(f"--by {each}" for each in get_args(By) if each != by)
    hint = f"use --target-size {smallest} or more, {others}, or lepton quantize"
    return UsageError(message, hint)
