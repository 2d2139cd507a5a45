"""From a file to a program that runs: options, memory, placement."""
