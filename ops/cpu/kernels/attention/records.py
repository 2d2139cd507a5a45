"""What a type of the KV cache consists of: how its keys and values are written and read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Keys:
    """product(queries, panel, lane, d, ahead) gives q·k, 16 positions per register, from a lane on.

    It prefetches the panel at `ahead`. write(panel, lane, source, d) writes one position.
    """

    product: Callable[..., Any]
    write: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Values:
    """load(panels, scales) gives 16 floats from each panel of a row, of `panel_bytes`.

    The scales follow the panels, `scale_bytes` for every two. fetch(address) prefetches 64
    elements; write(row, source, d) writes one position.
    """

    panel_bytes: int
    scale_bytes: int
    load: Callable[..., Any]
    fetch: Callable[..., Any]
    write: Callable[..., Any]
