"""Proof of the CUDA backend on a real card: `python -m tests.gpu`, from the repository's root."""
