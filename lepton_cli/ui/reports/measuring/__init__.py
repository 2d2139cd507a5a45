"""Reports of measurements: tables, curves, and how far they are."""
