"""The options that commands share, a dataclass for each group of them."""
