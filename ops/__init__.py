"""The operators that models use, their NumPy reference, and the CPU and CUDA backends."""
