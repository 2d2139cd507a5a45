"""The Jinja that chat templates are written in: jinja2 with limits, and text that knows its origin."""
