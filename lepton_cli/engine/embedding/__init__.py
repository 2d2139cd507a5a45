"""Vectors and scores of texts, and what is done with them: indexes, the nearest texts."""
