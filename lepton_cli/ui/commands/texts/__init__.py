"""Commands that compare texts: `embed`, `rerank`, `similar`."""
