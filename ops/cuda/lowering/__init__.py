"""From a recording to launches: which kernels, on what addresses."""
