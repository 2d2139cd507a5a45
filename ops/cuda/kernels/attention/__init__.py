"""Attention over the cache of keys and values."""
