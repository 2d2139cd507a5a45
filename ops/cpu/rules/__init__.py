"""How each operator becomes a kernel call: one table per family."""
