"""Compiling kernels to machine code, and caching it."""
