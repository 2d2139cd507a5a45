"""Blocks of nibbles that choose their levels from a table."""
