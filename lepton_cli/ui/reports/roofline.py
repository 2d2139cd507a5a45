"""The roofline plot of `lepton bench --plot`: speed against arithmetic intensity, with limits."""

import importlib
import importlib.util
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_cli.engine.library.outputs import check_named, write_named
from lepton_cli.engine.measure.benchmark import Result, fastest
from quant.errors import UsageError

ENDINGS = (".png", ".svg")
MAKER = "lepton bench"  # stored in each plot; files of other programs are not replaced
MIN_SHARE = 0.01  # of a pass's time; faster operators are not plotted


@dataclass(frozen=True, slots=True)
class Dot:
    """Multiply-adds per byte, and multiply-adds per second."""

    name: str
    intensity: float
    speed: float


def check(path: Path) -> None:
    """Raises UsageError if it cannot be drawn, before anything is measured."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"--plot {path}", f"the file must end with {' or '.join(ENDINGS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib", "pip install 'lepton-cli[plot]'")
    check_named(path, mark=MAKER.encode())


def dots(results: Sequence[Result]) -> tuple[list[Dot], list[Dot]]:
    """The dots of the tests, and of the operators in their profiles."""
    tests = [
        Dot(
            f"{result.trial.name}, threads {result.setup.threads}",
            result.macs / result.bytes_read,
            result.macs * len(result.samples_ns) / sum(result.samples_ns) * 1e9,
        )
        for result in results
    ]
    return tests, [dot for result in results for dot in _operator_dots(result)]


def _operator_dots(result: Result) -> Iterator[Dot]:
    for profile in result.profiles:
        for each in profile.operators:
            known = each.bytes and each.operations and each.seconds
            if known and each.seconds >= MIN_SHARE * profile.seconds:
                speed = each.operations / each.seconds
                yield Dot(each.operator, each.operations / each.bytes, speed)


def draw(results: Sequence[Result], path: Path) -> None:
    """Draws the plot, with the highest limits measured beside the tests."""
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(9, 6), layout="constrained"
    )
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", title=results[0].facts.model)
    axes.set(xlabel="multiply-adds a byte read", ylabel="GMAC/s")
    tests, operators = dots(results)
    _draw_limits(axes, results, [dot.intensity for dot in tests + operators])
    _draw_dots(axes, operators, "C7", 20)
    _draw_dots(axes, tests, "C3", 50)
    ending, drawn = path.suffix.lower().removeprefix("."), io.BytesIO()
    who = {"Creator" if ending == "svg" else "Software": MAKER}
    figure.savefig(drawn, format=ending, metadata=who)
    write_named(path, drawn.getvalue())


def _draw_limits(axes: Any, results: Sequence[Result], intensities: Sequence[float]) -> None:
    limits = fastest(results)
    if limits is None:
        return
    read, products = limits.bandwidth, limits.products or math.inf
    corners = [products / read] if limits.products else []
    places = [*intensities, *corners]
    xs = sorted([min(places) / 2, *corners, max(places) * 2])
    ys = [min(products, read * x) / 1e9 for x in xs]
    label = f"{read / 1e9:.1f} GB/s" + (f", {products / 1e9:.0f} GMAC/s" if corners else "")
    axes.plot(xs, ys, color="C0", label=label)
    axes.legend(loc="lower right")


def _draw_dots(axes: Any, points: Sequence[Dot], color: str, size: int) -> None:
    axes.scatter(
        [dot.intensity for dot in points], [dot.speed / 1e9 for dot in points], size, color
    )
    for dot in points:
        place = (dot.intensity, dot.speed / 1e9)
        axes.annotate(dot.name, place, (4, 4), textcoords="offset points", fontsize=7)
