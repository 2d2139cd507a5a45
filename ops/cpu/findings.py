"""Which instructions this processor's kernels use, and what is compiled for them."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from ops.cpu.kernel_folders import cached_kernels, packaged_kernels
from ops.cpu.objects import ObjectStore
from ops.cpu.processor import host_features
from ops.cpu.rungs import VARIABLE, choose_rung, ladder, obstacle, reached
from ops.findings import Finding
from quant.errors import UsageError


def cpu_findings(root: Path) -> tuple[Finding, ...]:
    """`root` is the user's folder for compiled kernels."""
    return _instructions(), _kernels(root)


def _instructions() -> Finding:
    """The rung that kernels are compiled for, and why."""
    features = host_features()
    try:
        rung = choose_rung(features, os.environ)
    except UsageError as error:
        return Finding("instructions", "none", f"{error.message}: {error.hint}")
    names = ", ".join(lower.name for lower in reached(features, ladder()))
    why = f"{VARIABLE} asks for it" if os.environ.get(VARIABLE) else "the best of this CPU's"
    reasons = [f"{why}: {names}", *(f"not {name}: {reason}" for name, reason in _above(features))]
    return Finding("instructions", rung.name, "; ".join(reasons))


def _above(features: Collection[str]) -> Iterator[tuple[str, str]]:
    """The rungs above the best one that can run, and why they cannot."""
    for rung in ladder():
        reason = obstacle(rung, features)
        if reason is None:
            return
        yield rung.name, reason


def _kernels(root: Path) -> Finding:
    """The kernels compiled for this rung, in the package and in the user's folder."""
    try:
        rung = choose_rung(host_features(), os.environ)
    except UsageError:
        return Finding("kernels", "none", "there are no instructions to compile them for")
    folders = [packaged_kernels(rung), cached_kernels(root, rung)]
    stored = [(kernels.folder, sizes) for kernels in folders if (sizes := kernels.sizes())]
    store = ObjectStore(root, lambda compiling: None)
    lost, unpacked = store.lost(), ", ".join(sorted(store.unpacked))
    reasons = [f"{lost.message}; {lost.hint}"] if lost else []
    if not stored:
        where = f"each time: {reasons[0]}" if reasons else f"into {folders[-1].folder}"
        return Finding("kernels", "none is compiled yet", f"a run compiles what it needs, {where}")
    places = [f"{sum(sizes.values()) / 1e3:.0f} kB in {folder}" for folder, sizes in stored]
    names = {name for _, sizes in stored for name in sizes}
    places += [f"unpacked once for many tokens: {unpacked}"] if unpacked else []
    return Finding("kernels", f"{len(names)} compiled", ", ".join([*places, *reasons]))
