"""Generating answers: single, batched, by beam search, with speculative decoding."""
