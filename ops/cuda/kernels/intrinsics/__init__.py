"""The words that kernels are written in: each a PTX instruction with its meaning."""
