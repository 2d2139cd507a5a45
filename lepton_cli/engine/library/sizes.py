"""Formatting of byte sizes and counts."""


def gigabytes(size: int) -> str:
    """A size in GB, below 1 GB in MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`: for nouns whose plural ends in s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
