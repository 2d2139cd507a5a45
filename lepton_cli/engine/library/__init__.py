"""What is on this disk: models by name, folders, files, and the values of JSON."""
