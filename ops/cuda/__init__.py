"""The backend for NVIDIA GPUs: runs a recorded program with kernels compiled by numba-cuda."""
