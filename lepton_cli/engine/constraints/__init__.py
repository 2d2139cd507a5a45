"""Answers of a given form: JSON schemas, regexes, choices, grammars."""
