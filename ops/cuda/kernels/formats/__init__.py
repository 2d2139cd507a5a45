"""How the blocks of each weight format lie on a card, and are multiplied."""
