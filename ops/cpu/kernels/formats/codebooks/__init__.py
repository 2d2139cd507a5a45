"""Blocks that name entries of a grid, of 4 or 8 levels each (quant/codebooks.py draws them)."""
