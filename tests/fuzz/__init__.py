"""The weekly tests of `python -m tests.fuzz`: mutated inputs, kills, hashes, a soak test."""
