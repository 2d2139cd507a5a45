"""Conversations: their turns and branches, saved and resumed."""
