"""llama.cpp's grammars (GBNF)."""
