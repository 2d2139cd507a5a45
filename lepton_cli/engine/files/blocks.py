"""Which layer of a model a tensor belongs to, by its name: blk.3.attn_q.weight is of layer 3."""

import re
from collections.abc import Collection

BLOCK = re.compile(r"blk\.(\d+)\.(.*)", re.DOTALL)


def split_name(name: str) -> tuple[int | None, str]:
    """The layer, and the name within it; None and the whole name for what is of no layer."""
    match = BLOCK.fullmatch(name)
    return (int(match[1]), match[2]) if match else (None, name)


def moved_up(name: str, dropped: Collection[int]) -> str:
    """The tensor's name in a model without some layers, of which it is none."""
    layer, own = split_name(name)
    return name if layer is None else f"blk.{layer - sum(n < layer for n in dropped)}.{own}"
