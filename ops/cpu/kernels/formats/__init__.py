"""How the blocks of each weight format are multiplied."""
