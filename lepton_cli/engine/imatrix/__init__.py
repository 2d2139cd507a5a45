"""Importance matrices: which columns of a model's weights its inputs use, and how much."""
