"""Opening a model file: options, backend, memory plan, placement on cards."""
