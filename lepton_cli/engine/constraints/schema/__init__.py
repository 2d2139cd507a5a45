"""JSON schemas: parsing, enforcing in generation, and checking answers."""
