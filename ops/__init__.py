"""What can be computed: the operators, their NumPy definition, the backends that are fast."""
