"""The commands about the model files of this disk."""
