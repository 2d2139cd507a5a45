"""One file per set of CPU instructions: what it needs, and how it does what kernels ask for."""
