"""How each operator is launched: one table per family of operators."""
