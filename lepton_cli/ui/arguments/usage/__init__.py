"""Command lines that are not understood: what was meant, and the command to type."""
