"""Compiled kernels on disk, and the processes that compile them."""
