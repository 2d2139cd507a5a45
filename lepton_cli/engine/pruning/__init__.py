"""Makes a model smaller by leaving out layers, channels, heads or experts."""
