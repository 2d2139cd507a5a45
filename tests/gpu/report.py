"""What a run leaves in the folder $OUT: gpu.md for docs/gpu.md, gpu.json for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gpu.speed import FIRST_TOKEN, Row, table
from gpu.steps import Outcome
from ops.cuda.device.probe import Card, cuda_version

PACKAGES = ("numba-cuda", "cuda-bindings", "numba", "nvidia-nvvm", "nvidia-nvjitlink", "numpy")


@dataclass(slots=True)
class Report:
    """The card, what was measured so far, and how the steps went."""

    card: Card
    bandwidth: float | None = None  # bytes a second, read and written
    rows: list[Row] = field(default_factory=list)
    outcomes: Sequence[Outcome] = ()

    def write(self, folder: Path) -> None:
        """Anew after every step: what was measured stays, if the machine is taken away."""
        (folder / "gpu.md").write_text(self.markdown(), encoding="utf-8")
        (folder / "gpu.json").write_text(json.dumps(self.plain(), indent=2), encoding="utf-8")

    def markdown(self) -> str:
        copied = f"{self.bandwidth / 1e9:.0f} GB/s copied" if self.bandwidth else "not measured"
        parts = [f"{self.card}, {copied}", ", ".join(versions())]
        if self.rows:
            parts.append(table(self.rows))
            slow = [row.model for row in self.rows if _starts_late(row)]
            late = ", ".join(slow) or "none"
            parts.append(f"Later than {FIRST_TOKEN:.0f} s with the first token of 8B: {late}.")
        parts.append("\n".join(f"- {outcome}" for outcome in self.outcomes))
        return "\n\n".join(parts) + "\n"

    def plain(self) -> dict[str, object]:
        return {
            "card": asdict(self.card),
            "versions": versions(),
            "copy_bandwidth": self.bandwidth,
            "bench": [asdict(row) for row in self.rows],
            "steps": [asdict(outcome) for outcome in self.outcomes],
        }


def _starts_late(row: Row) -> bool:
    return row.shape == "llama8b" and row.first_token > FIRST_TOKEN


def versions() -> list[str]:
    return [f"{name} {_version(name)}" for name in PACKAGES]


def about(card: Card, free: int) -> str:
    memory = f"{free / 1e9:.1f} of {card.total / 1e9:.1f} GB free"
    driver = f"driver for CUDA {cuda_version(card.driver)}"
    return ", ".join([card.name, f"compute {card.compute}", driver, memory, *versions()])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"
