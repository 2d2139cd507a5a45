"""Blocks of the KV cache on a card."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cuda.cache import CardStateLayout
from ops.cuda.device.device import Device
from ops.state.blocks import Block, BlockPool


class CardPool(BlockPool):
    """A block's memory is its address on the card."""

    def __init__(self, layout: CardStateLayout, device: Device) -> None:
        super().__init__(layout)
        self._device = device

    def clear(self) -> None:
        for address in self._spare:
            self._device.free(address)
        super().clear()

    def address(self, block: Block) -> int:
        address: int = block.memory
        return address

    def copy(self, source: Block, target: Block) -> None:
        self._device.copy(source.memory, target.memory, self.layout.block_bytes)

    def read(self, block: Block) -> NDArray[np.uint8]:
        data = np.empty(self.layout.block_bytes, np.uint8)
        self._device.download(block.memory, data)
        return data

    def write(self, block: Block, data: NDArray[np.uint8]) -> None:
        self._device.upload(block.memory, data)

    def _allocate(self) -> Any:
        """Zeroed: kernels multiply unwritten positions by 0, so they must be finite."""
        address = self._device.allocate(self.layout.block_bytes)
        self._device.clear(address, self.layout.block_bytes)
        return address
