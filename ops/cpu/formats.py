"""Which weight formats the CPU's kernels compute with, and how."""

FLOATS = ("F32", "F16", "BF16")
LEGACY = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
SUPER_BLOCKS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
TABLES = ("IQ4_NL", "IQ4_XS", "MXFP4")
QUANTIZED = frozenset(LEGACY + SUPER_BLOCKS + TABLES)
"""Formats whose products take quantized activations."""
IN_PARTS = frozenset({"Q5_0", "Q5_1", *SUPER_BLOCKS})
"""Those whose weights are unpacked once for many tokens, into a thread's scratch."""
KERNEL_FORMATS = QUANTIZED | frozenset(FLOATS)
"""Formats that kernels compute with; any other is converted to float32 at load."""
