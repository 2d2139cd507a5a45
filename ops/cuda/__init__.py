"""The backend for NVIDIA cards: the recorded program as kernels that numba-cuda compiles."""
