"""Weight formats that the card's kernels compute with."""

from ops.cuda.kernels.activations import BLOCK_BYTES
from ops.cuda.kernels.formats.weights import PANELS

QUANTIZED = frozenset(PANELS)
"""Formats that are multiplied with quantized activations."""
ACTIVATION_BYTES = BLOCK_BYTES
"""Of 32 quantized activations."""
