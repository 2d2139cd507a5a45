"""Vectors in files: rows of a file become vectors, and the nearest rows to a text are found."""
