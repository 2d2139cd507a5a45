"""JSON schemas: what is accepted, what is generated, and the check afterwards."""
