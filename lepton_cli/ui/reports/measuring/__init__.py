"""Reports of measurements: how far they are, and curves."""
