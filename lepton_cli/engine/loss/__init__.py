"""How well a model predicts a text: perplexity, divergence from another model, choices."""
