"""What can be computed: the operators, their NumPy definition, and the backends that run them fast."""
