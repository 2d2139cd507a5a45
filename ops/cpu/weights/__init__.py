"""Packed weights: their memory, and the files that keep them for later starts."""
