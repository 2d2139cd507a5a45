"""Encoding tensors: rows of weights to the bytes of a format, as llama-quantize does it."""
