"""The implementation of each command, one file per command."""
