"""llama.cpp's grammars."""
