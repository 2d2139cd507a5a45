"""The commands that make model files of others."""
