"""Drawing tokens on the card: the memory of the kernel `draw`, settings and results."""

import numpy as np
from numpy.typing import NDArray

from ops.cuda.device.device import Device, Launch
from ops.cuda.kernels.draw import SHARED, UNIFORMS
from ops.cuda.kernels.intrinsics.kernel import operands_of
from ops.cuda.kernels.largest import KEPT
from ops.cuda.kernels.operands import Draw
from ops.cuda.logits import CardLogits
from ops.cuda.lowering.records import RecordAddresses
from ops.drawing import DrawPlan

MOST_TOKENS = 32  # per call of `begin`
SETTINGS = 0
COUNTS = UNIFORMS + 8 * MOST_TOKENS
DRAWN = COUNTS + 8
SIZE = DRAWN + 4 * MOST_TOKENS


class CardDrawing:
    """Owns the memory of the settings and of the drawn tokens."""

    def __init__(self, device: Device, logits: CardLogits) -> None:
        self._device, self._logits = device, logits
        self._memory = device.allocate(SIZE)

    def launch(self, step: RecordAddresses) -> Launch:
        """For the end of a step of one token; it also writes the next step's record."""
        record = Draw(
            pairs=self._logits.found(1),
            settings=self._memory + SETTINGS,
            counts=self._memory + COUNTS,
            ids=step.ids,
            positions=step.positions,
            drawn=self._memory + DRAWN,
        )
        return Launch("draw", (1, 1, 1), KEPT, operands_of(record), SHARED)

    def begin(self, plan: DrawPlan, numbers: NDArray[np.float64]) -> None:
        """Uploads the settings for one token per random number."""
        assert 1 <= plan.count <= KEPT and len(numbers) <= MOST_TOKENS
        whole = np.zeros(DRAWN, np.uint8)
        settings = np.array([plan.top_p, plan.least_logit, plan.temperature], np.float64)
        whole[:UNIFORMS] = settings.view(np.uint8)
        whole[UNIFORMS : UNIFORMS + numbers.nbytes] = numbers.view(np.uint8)
        whole[COUNTS:] = np.array([0, plan.count], np.int32).view(np.uint8)
        self._device.upload(self._memory, whole)

    def drawn(self, count: int) -> NDArray[np.int32]:
        """The first `count` tokens; waits for them."""
        tokens = np.empty(count, np.int32)
        self._device.download(self._memory + DRAWN, tokens)
        return tokens

    def close(self) -> None:
        self._device.free(self._memory)
