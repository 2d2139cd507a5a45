"""Makes a model file smaller: its tensors in formats of fewer bits."""
