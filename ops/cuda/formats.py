"""Which weight formats a card's kernels compute with."""

from ops.cuda.kernels.formats.weights import PANELS

QUANTIZED = frozenset(PANELS)
"""Formats whose products take quantized activations."""
ACTIVATION_BYTES = 48
"""What 32 quantized activations take (kernels/activations.py)."""
