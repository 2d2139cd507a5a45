"""The CPU backend: a recorded program, replayed by resident threads through kernels of object code."""
