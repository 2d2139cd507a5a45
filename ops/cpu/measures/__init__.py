"""What is measured on this machine: its limits, and which shape of a kernel is faster."""
