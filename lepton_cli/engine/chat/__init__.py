"""Conversations: turns and branches, saving and resuming."""
