"""Vectors and scores of texts: what a model reads of them, batches of them, pooling."""
