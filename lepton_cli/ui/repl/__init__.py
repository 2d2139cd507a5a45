"""The chat: its line, its slash commands, and what goes on between questions and answers."""
