"""How a number of bytes is told."""


def gigabytes(size: int) -> str:
    """Of small models in MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
