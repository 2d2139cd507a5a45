"""Which steps there are, in their order: what others build upon first, what takes longest last."""

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from conftest import find_data
from make_gguf import write_model
from presets_gguf import PRESETS
from shapes import write_shape

from gpu import on_card
from gpu.models import check_model, refused
from gpu.report import Report, about
from gpu.sanitizer import TOOLS, sanitize
from gpu.speed import GOALS, measure
from gpu.steps import Skip, Steps
from gpu.suites import FILES, run_suite
from gpu.worker import CardWorker
from lepton_cli.models.registry import ARCHITECTURES

MEMORY, LARGEST = Path("/dev/shm"), 12 << 30  # bytes
MODEL, BENCH, COMPILING, SANITIZING = 90.0, 120.0, 240.0, 90.0  # seconds, at most
QUICK_PRESETS = ("llama", "gemma2", "gpt-oss", "qwen3moe")
FORMATS = ("Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "F16", "BF16", "Q5_1")  # of tiny models
REAL = (("qwen05", "Q8_0"), ("llama1b", "F16"), ("llama1b", "Q4_K_M"), ("llama1b", "Q4_0"))


def run_all(steps: Steps, report: Report, *, quick: bool) -> None:
    """Every step that `steps` wants; what is measured goes into the report."""
    with (
        tempfile.TemporaryDirectory(prefix="lepton-gpu-", dir=_roomy()) as folder,
        CardWorker() as worker,
    ):
        _Plan(steps, report, worker, Path(folder), quick=quick).run()


def _roomy() -> Path | None:
    """In memory, where there is room for the largest model; None: the system's usual place."""
    there = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > LARGEST
    return MEMORY if there else None


class _Plan:
    def __init__(
        self, steps: Steps, report: Report, worker: CardWorker, place: Path, *, quick: bool
    ) -> None:
        self._steps, self._report, self._worker = steps, report, worker
        self._place, self._quick = place, quick

    def run(self) -> None:
        step = self._steps.run
        step("versions", self._versions)
        step("bandwidth", self._bandwidth)
        step("kernels", lambda: self._worker.run(on_card.prepare_kernels, COMPILING))
        for name, file in FILES.items():
            step(name, lambda file=file: run_suite(file, self._steps.left))
        for preset in QUICK_PRESETS if self._quick else sorted(PRESETS):
            step(f"model tiny {preset} F32", partial(self._tiny, preset, "F32"))
        for kind in FORMATS[:3] if self._quick else FORMATS:
            step(f"model tiny llama {kind}", partial(self._tiny, "llama", kind))
        self._recorded()
        for shape, kind in REAL[-1:] if self._quick else REAL:
            step(f"model {shape} {kind}", partial(self._real, shape, kind))
        for shape, kind in self._measured():
            step(f"bench {shape} {kind}", partial(self._bench, shape, kind))
        for tool in [*TOOLS][:1] if self._quick else TOOLS:
            seconds = min(self._steps.left, SANITIZING)
            step(f"sanitizer {tool}", partial(sanitize, tool, seconds))

    def _versions(self) -> str:
        return about(self._report.card, self._worker.run(on_card.free_bytes, MODEL))

    def _bandwidth(self) -> str:
        self._report.bandwidth = self._worker.run(on_card.bandwidth, MODEL)
        return f"{self._report.bandwidth / 1e9:.1f} GB/s, read and written"

    def _tiny(self, preset: str, kind: str) -> str:
        """Few layers, random weights."""
        path = write_model(self._place / f"{preset}-{kind}.gguf", preset, weights=kind, seed=3)
        return self._checked(path, split=True)

    def _checked(self, path: Path, *, split: bool = False) -> str:
        """Raises Skip with the reason if cards refuse the model."""
        reason = refused(path)
        if reason is not None:
            raise Skip(reason)
        return self._worker.run(partial(check_model, path, split=split), MODEL)

    def _recorded(self) -> None:
        """Those models of the test data whose architectures we know."""
        folder = find_data("archs")
        if folder is None:
            self._steps.run("model data", _missing)
            return
        paths = sorted(folder.glob("*.gguf"))
        known = [path for path in paths if path.stem.rpartition("-")[0] in ARCHITECTURES]
        for path in known[::4] if self._quick else known:
            self._steps.run(f"model data {path.stem}", partial(self._checked, path))

    def _real(self, shape: str, kind: str) -> str:
        """Its file stays, if the bench measures it."""
        write_shape(shape, path := self._path(shape, kind), kind)
        try:
            return self._worker.run(partial(check_model, path, split=True), MODEL)
        finally:
            if (shape, kind) not in self._measured():
                path.unlink()

    def _path(self, shape: str, kind: str) -> Path:
        return self._place / f"{shape}-{kind}.gguf"

    def _measured(self) -> Sequence[tuple[str, str]]:
        """Small ones first."""
        return [pair for pair in reversed(GOALS) if not (self._quick and pair[0] == "llama8b")]

    def _bench(self, shape: str, kind: str) -> str:
        path = self._path(shape, kind)
        if not path.exists():
            write_shape(shape, path, kind)
        try:
            work = partial(measure, shape, kind, path, self._report.card.name, BENCH)
            row = self._worker.run(work, BENCH)
        finally:
            path.unlink()
        self._report.rows.append(row)
        return str(row)


def _missing() -> str:
    raise Skip("the test data archs is not here (LEPTON_TEST_DATA names its folder)")
