"""What is made of a model's output for the host."""
