"""Errors when memory runs out, and what the process itself needs."""

from ops.machine import available_memory
from quant.errors import OutOfMemoryError
from quant.gguf import Metadata
from quant.strings import Strings

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
