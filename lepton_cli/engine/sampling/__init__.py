"""Sampling: choosing the next token from the logits."""
