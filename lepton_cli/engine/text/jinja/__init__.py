"""The Jinja of chat templates: jinja2 with limits, and text that knows where it comes from."""
