"""The intrinsics that kernels are written in: PTX instructions with their meaning in Python."""
