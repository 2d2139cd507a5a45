"""How each operator is launched, a table a family."""
