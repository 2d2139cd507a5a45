"""Making answers: one in a window, many at once, beams, speculation."""
