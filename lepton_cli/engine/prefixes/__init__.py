"""The prompt cache: prompt prefixes stored on disk."""
