"""The interactive chat: input line, slash commands, and the display of answers."""
