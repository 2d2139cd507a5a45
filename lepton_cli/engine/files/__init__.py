"""Model files as files: whether they are whole, how two differ, split and merged."""
