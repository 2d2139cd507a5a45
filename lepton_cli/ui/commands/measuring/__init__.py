"""The commands that measure how well models predict a text."""
