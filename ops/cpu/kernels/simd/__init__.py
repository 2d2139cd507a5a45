"""The words that kernels are written in: registers, memory, and what instruction sets do."""
