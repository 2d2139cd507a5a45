"""From a kernel's Python to machine code, and where that is kept."""
