"""Blocks of 32 columns with one scale."""
