"""The vocabulary of the kernels: registers, memory, arithmetic, address tiles."""
