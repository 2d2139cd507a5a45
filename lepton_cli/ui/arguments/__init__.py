"""What is typed on the command line, in variables and in the config file."""
