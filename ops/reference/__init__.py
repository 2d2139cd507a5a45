"""The NumPy Transformer: the definition that the fast backends are tested against."""
