"""Between words and tokens: templates, tokenizers, and text as it streams out."""
