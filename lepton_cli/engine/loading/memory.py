"""What is said where memory ran out, and a look ahead where little of it may be had."""

import os

from ops.machine import address_limit, available_memory
from quant.errors import OutOfMemoryError
from quant.gguf import Metadata, Strings

LEAST_ADDRESSES = 450_000_000  # bytes: 400 with two threads, for what is imported and compiled
RESERVE = 32_000_000  # bytes: for what is imported later, a chat's screen, stacks, logits
STRING_BYTES = 450  # of a tokenizer, for each text of its file, while it is built for long texts
CURE = "free memory, or raise that limit; -t 1 and a smaller -c take less"


def out_of_memory(what: str, cure: str = CURE) -> OutOfMemoryError:
    """With how much is there."""
    return OutOfMemoryError(f"{what}; {available_memory()}", cure)


def process_needs(metadata: Metadata) -> int:
    """Bytes that the process takes beside the model, from now on: its tokenizer, and a reserve.

    What it has taken before is no longer free.
    """
    texts = sum(len(value) for value in metadata.values() if isinstance(value, Strings))
    return RESERVE + STRING_BYTES * texts


def check_addresses() -> None:
    """Raises OutOfMemoryError where not even the libraries fit, which fail in ways of their own."""
    limit = address_limit()
    if limit is None:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each of its threads takes addresses
    if limit < LEAST_ADDRESSES:
        message = f"ulimit -v allows {limit / 1e6:.0f} MB of addresses; Lepton itself takes "
        message += f"{LEAST_ADDRESSES / 1e6:.0f} MB, and a model its size twice"
        raise OutOfMemoryError(message, "raise it where it is set, or run Lepton elsewhere")
