"""Which steps there are, in their order: what others build upon first, what takes longest last."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from conftest import find_data
from make_gguf import write_model
from presets_gguf import PRESETS

from gpu.files import write_random
from gpu.models import check_model
from gpu.report import Report, about
from gpu.sanitizer import TOOLS, sanitize
from gpu.speed import GOALS, measure
from gpu.steps import Skip, Steps
from gpu.suites import FILES, run_suite
from lepton_cli.models import ARCHITECTURES
from ops.cuda.kernels import KERNELS

COPIED = 1 << 30  # bytes, at most, of the bandwidth's measurement
SANITIZING = 90.0  # seconds for each of its tools
QUICK_PRESETS = ("llama", "gemma2", "gpt-oss", "qwen3moe")
FORMATS = ("Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "F16", "BF16", "Q5_1")  # of tiny models
REAL = (("qwen05", "Q8_0"), ("llama1b", "F16"), ("llama1b", "Q4_K_M"), ("llama1b", "Q4_0"))


def run_all(steps: Steps, report: Report, *, quick: bool) -> None:
    """Every step that `steps` wants; what is measured goes into the report."""
    with tempfile.TemporaryDirectory(prefix="lepton-gpu-") as folder:
        place = Path(folder)
        _machine(steps, report)
        for name, file in FILES.items():
            steps.run(name, lambda file=file: run_suite(file, steps.left))
        _tiny_models(steps, place, QUICK_PRESETS if quick else sorted(PRESETS), quick=quick)
        _recorded_models(steps, quick=quick)
        for shape, kind in REAL[-1:] if quick else REAL:
            steps.run(f"model {shape} {kind}", partial(_real_model, shape, kind, place))
        wanted = [pair for pair in GOALS if not quick or pair[0] != "llama8b"]
        for shape, kind in reversed(wanted):
            steps.run(f"bench {shape} {kind}", partial(_bench, steps, report, place, shape, kind))
    for tool in [*TOOLS][:1] if quick else TOOLS:
        steps.run(
            f"sanitizer {tool}", lambda tool=tool: sanitize(tool, min(steps.left, SANITIZING))
        )


def _machine(steps: Steps, report: Report) -> None:
    from real_card import compiled_kernels, the_driver  # needs the driver

    def bandwidth() -> str:
        from ops.cuda.bandwidth import copy_bandwidth

        free, _ = the_driver().memory()
        report.bandwidth = copy_bandwidth(the_driver(), min(COPIED, free // 4))
        return f"{report.bandwidth / 1e9:.1f} GB/s, read and written"

    def kernels() -> str:
        compiled_kernels().prepare(KERNELS)
        return f"{len(KERNELS)} compiled and loaded"

    steps.run("versions", lambda: about(report.card, the_driver().memory()[0]))
    steps.run("bandwidth", bandwidth)
    steps.run("kernels", kernels)


def _tiny_models(steps: Steps, place: Path, presets: Sequence[str], *, quick: bool) -> None:
    """Every architecture, and every format, with few layers and random weights."""

    def check(preset: str, kind: str) -> str:
        path = write_model(place / f"{preset}-{kind}.gguf", preset, weights=kind, seed=3)
        return check_model(path, split=True)

    for preset in presets:
        steps.run(f"model tiny {preset} F32", partial(check, preset, "F32"))
    for kind in FORMATS[:3] if quick else FORMATS:
        steps.run(f"model tiny llama {kind}", partial(check, "llama", kind))


def _recorded_models(steps: Steps, *, quick: bool) -> None:
    """Those of the test data of architectures that we know."""
    folder = find_data("archs")
    if folder is None:
        steps.run("model data", lambda: _missing("archs"))
        return
    paths = sorted(folder.glob("*.gguf"))
    known = [path for path in paths if path.stem.rpartition("-")[0] in ARCHITECTURES]
    for path in known[::4] if quick else known:
        steps.run(f"model data {path.stem}", partial(check_model, path))


def _missing(name: str) -> str:
    raise Skip(f"the test data {name} is not here (LEPTON_TEST_DATA names its folder)")


def _real_model(shape: str, kind: str, place: Path) -> str:
    """Its file stays for the bench, if that measures it."""
    path = write_random(shape, kind, place)
    try:
        return check_model(path, split=True)
    finally:
        if (shape, kind) not in GOALS:
            path.unlink()


def _bench(steps: Steps, report: Report, place: Path, shape: str, kind: str) -> str:
    path = place / f"{shape}-{kind}.gguf"
    if not path.exists():
        write_random(shape, kind, place)
    try:
        row = measure(shape, kind, path, report.card.name, steps.left)
    finally:
        path.unlink()
    report.rows.append(row)
    return str(row)
