"""The CPU backend: a recorded program, replayed by resident threads with compiled kernels."""
