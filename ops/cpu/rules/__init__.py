"""How each operator becomes a kernel call, a table a family."""
