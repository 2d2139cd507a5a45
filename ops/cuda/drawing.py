"""Tokens drawn on the card: the settings that its kernel reads, and what it leaves."""

import numpy as np
from numpy.typing import NDArray

from ops.cuda.device.device import Device, Launch
from ops.cuda.logits import KEPT, CardLogits
from ops.cuda.lowering.records import Places
from ops.drawing import DrawPlan

MOST_TOKENS = 32  # at a time
THREADS, SHARED = KEPT, 20 * KEPT + 16  # kernels/draw.py
SETTINGS, NUMBERS = 0, 24  # bytes: three float64, then the random numbers
COUNTS = NUMBERS + 8 * MOST_TOKENS
DRAWN = COUNTS + 8
SIZE = DRAWN + 4 * MOST_TOKENS


class CardDrawing:
    """Owns the memory of the settings and of the drawn tokens."""

    def __init__(self, device: Device, logits: CardLogits) -> None:
        self._device, self._logits = device, logits
        self._memory = device.allocate(SIZE)

    def launch(self, step: Places) -> Launch:
        """To follow the launches of a step of one token; it makes the next step's record."""
        at = self._memory
        operands = (
            self._logits.found(1),
            *(at + SETTINGS, at + COUNTS, step.ids, step.positions, at + DRAWN),
        )
        return Launch("draw", (1, 1, 1), THREADS, operands, SHARED)

    def begin(self, plan: DrawPlan, numbers: NDArray[np.float64]) -> None:
        """For as many tokens as there are random numbers."""
        assert 1 <= plan.count <= KEPT and len(numbers) <= MOST_TOKENS
        whole = np.zeros(DRAWN, np.uint8)
        settings = np.array([plan.top_p, plan.least_logit, plan.temperature], np.float64)
        whole[:NUMBERS] = settings.view(np.uint8)
        whole[NUMBERS : NUMBERS + numbers.nbytes] = numbers.view(np.uint8)
        whole[COUNTS:] = np.array([0, plan.count], np.int32).view(np.uint8)
        self._device.upload(self._memory, whole)

    def drawn(self, count: int) -> NDArray[np.int32]:
        """Waits for them."""
        tokens = np.empty(count, np.int32)
        self._device.download(self._memory + DRAWN, tokens)
        return tokens

    def close(self) -> None:
        self._device.free(self._memory)
