"""The commands with their options, by subject; each is implemented in a module of `commands`."""
