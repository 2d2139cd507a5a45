"""How numbers of bytes and of things are told."""


def gigabytes(size: int) -> str:
    """Of small models in MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`: for nouns whose plural ends in s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
