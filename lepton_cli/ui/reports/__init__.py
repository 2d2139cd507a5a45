"""The output of commands: answers, tables, numbers."""
