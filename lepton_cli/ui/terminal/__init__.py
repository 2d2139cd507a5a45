"""The terminal: text, colours, widths, notes."""
