"""Text and tokens: chat templates, tokenizers, and streaming output."""
