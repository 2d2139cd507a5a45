"""Errors when memory runs out, and an early check of the address space limit."""

import os

from ops.machine import address_limit, available_memory
from quant.errors import OutOfMemoryError
from quant.gguf import Metadata
from quant.strings import Strings

MIN_ADDRESS_SPACE = 450_000_000  # bytes for imports and kernels (400 MB with two threads)
RESERVE = 32_000_000  # bytes for later imports, the chat's screen, stacks, logits
STRING_BYTES = 450  # memory of a tokenizer per string in its file, at the peak
HINT = "free memory, or raise that limit; -t 1 and a smaller -c take less"


def out_of_memory(what: str, cure: str = HINT) -> OutOfMemoryError:
    """An error that also names the available memory."""
    return OutOfMemoryError(f"{what}; {available_memory()}", cure)


def process_needs(metadata: Metadata) -> int:
    """Bytes that the process will still need besides the model: the tokenizer and a reserve.

    Memory that is already in use is not counted.
    """
    texts = sum(len(value) for value in metadata.values() if isinstance(value, Strings))
    return RESERVE + STRING_BYTES * texts


def check_addresses() -> None:
    """Raises OutOfMemoryError if not even the libraries fit (they would fail obscurely)."""
    limit = address_limit()
    if limit is None:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread takes address space
    if limit < MIN_ADDRESS_SPACE:
        message = f"ulimit -v allows {limit / 1e6:.0f} MB of addresses; Lepton itself takes "
        message += f"{MIN_ADDRESS_SPACE / 1e6:.0f} MB, and a model its size twice"
        raise OutOfMemoryError(message, "raise it where it is set, or run Lepton elsewhere")
