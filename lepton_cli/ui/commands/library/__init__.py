"""The commands about model files, on this disk and on the hub."""
