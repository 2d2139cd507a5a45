"""The operators as a recording holds them: one record each, with its buffers, weights and costs."""
