"""Constrained answers: JSON schemas, regexes, choices, grammars."""
