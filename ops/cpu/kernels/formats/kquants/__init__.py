"""Blocks of 256 columns, with scales of their parts."""
