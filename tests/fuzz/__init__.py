"""What is run weekly, by `python -m tests.fuzz`: mutated inputs, kills, hashes, a soak."""
