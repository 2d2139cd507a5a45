"""Options and arguments: command line, environment variables, config file."""
