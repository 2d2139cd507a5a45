"""From a recorded program to launches: which kernels, with which addresses."""
