"""Errors for invalid command lines, with the command that was probably meant."""
