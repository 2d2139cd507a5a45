"""OpenAI's batch format: its requests, their messages, and the responses."""
