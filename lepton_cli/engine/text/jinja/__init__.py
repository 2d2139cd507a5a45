"""Jinja for chat templates: jinja2 with resource limits, and text that tracks its origin."""
