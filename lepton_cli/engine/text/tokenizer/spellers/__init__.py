"""Text to ids between special tokens: each kind of vocabulary has a way of its own."""
