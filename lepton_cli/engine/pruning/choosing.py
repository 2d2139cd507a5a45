"""What to leave out of a model: so many layers, channels, heads or experts, the least important."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lepton_cli.engine.pruning.cuts import Cut, Cuts, Kind, Uncut
from lepton_cli.engine.pruning.edits import Edit
from lepton_cli.engine.pruning.ranking import SquareSums, unit_importance
from ops.program import Program
from quant.errors import UsageError
from quant.gguf import GGUF

WIDTHS = (256, 64, 32)  # that the channels' number stays a multiple of, so that formats fit


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much is to be left out of every layer: shares from 0 to 1. `layers` are numbers."""

    layers: frozenset[int] = frozenset()
    channels: float = 0.0
    heads: float = 0.0
    experts: float = 0.0

    def share(self, kind: Kind) -> float:
        return {"channels": self.channels, "heads": self.heads, "experts": self.experts}[kind]


class Chooser:
    """Chooses units by their importance, as many in every layer."""

    def __init__(self, file: GGUF, program: Program, sums: SquareSums | None = None) -> None:
        """`sums`: of the matrices' inputs over a text; see `unit_importance`."""
        self.file, self.program, self._sums = file, program, sums
        self._cuts, self._ranked = dict[Kind, list[Cut]](), dict[Cut, Any]()

    def choose(self, wanted: Wanted) -> Edit:
        """Raises UsageError where nothing of the kind can be left out, or not so much."""
        units = dict[Cut, Any]()
        kinds: tuple[Kind, ...] = ("channels", "heads", "experts")
        for kind in kinds:
            share = wanted.share(kind)
            if share:
                for cut in self.cuts(kind):
                    if cut.layer not in wanted.layers:
                        units[cut] = self._least(cut, share)
        return Edit(wanted.layers, {cut: least for cut, least in units.items() if len(least)})

    def cuts(self, kind: Kind) -> list[Cut]:
        """Raises UsageError with the first reason where there are none."""
        if kind not in self._cuts:
            self._cuts[kind] = self._found(kind)
        return self._cuts[kind]

    def _found(self, kind: Kind) -> list[Cut]:
        found = list(getattr(Cuts(self.program, self.file), kind)())
        cuts = [self._grouped(cut) for cut in found if isinstance(cut, Cut)]
        if not cuts:
            reasons = [str(reason) for reason in found if isinstance(reason, Uncut)]
            reason = f": {reasons[0]}" if reasons else ""
            message = f"{self.file.path}: no {kind} can be left out{reason}"
            raise UsageError(message, "leave out layers instead: --layers")
        return cuts

    def _grouped(self, cut: Cut) -> Cut:
        """Channels in blocks of the format of the matrix that reads them."""
        size = self.file.tensors[cut.reader].format.block_size
        if cut.kind != "channels" or size == 1:
            return cut
        pieces = tuple(replace(piece, each=piece.each * size) for piece in cut.pieces)
        return replace(cut, units=cut.units // size, pieces=pieces, each=cut.each * size)

    def _least(self, cut: Cut, share: float) -> Any:
        """The least important units, in their order."""
        if cut not in self._ranked:
            scores = unit_importance(self.file, cut, self._sums)
            self._ranked[cut] = np.argsort(scores, kind="stable")
        return np.sort(self._ranked[cut][: self._count(cut, share)])

    def _count(self, cut: Cut, share: float) -> int:
        """How many units leave; channels in steps, so that formats can hold the rows that stay."""
        step = 1
        if cut.kind == "channels":
            width, most = cut.units * cut.each, share * cut.units * cut.each
            step = next((w for w in WIDTHS if width % w == 0 and w <= most), cut.each) // cut.each
        count = math.floor(share * cut.units / step + 0.5) * step
        return min(count, cut.units - max(cut.least, 1))
