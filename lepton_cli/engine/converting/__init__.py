"""Models as Hugging Face's transformers stores them, to GGUF."""
