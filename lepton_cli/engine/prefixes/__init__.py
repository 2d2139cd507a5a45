"""Beginnings of prompts that are kept on disk."""
