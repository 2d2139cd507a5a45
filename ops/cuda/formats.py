"""Which weight formats a card's kernels compute with."""

from ops.cuda.kernels.activations import BLOCK_BYTES
from ops.cuda.kernels.formats.weights import PANELS

QUANTIZED = frozenset(PANELS)
"""Formats whose products take quantized activations."""
ACTIVATION_BYTES = BLOCK_BYTES
"""Of 32 quantized activations."""
