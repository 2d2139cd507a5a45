"""Models and files on this disk: finding models by name, folders, output files, JSON values."""
