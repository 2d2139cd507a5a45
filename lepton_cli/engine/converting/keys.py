"""The keys of a model file as llama.cpp's converter writes them, with the `gguf` package.

Its writer knows each key's name and type. It writes a file of keys alone, which is read back.
"""

import logging
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import gguf

from quant.errors import ModelFileError
from quant.gguf import GGUF
from quant.gguf_writer import copied_pairs


def written_keys(
    source: Path, architecture: str, write: Callable[[gguf.GGUFWriter], None]
) -> dict[str, bytes]:
    """The keys that `write` adds, with values as stored.

    Raises ModelFileError, naming the `source` of a value that is of a wrong type.
    """
    logging.getLogger("gguf").addHandler(logging.NullHandler())  # its notes are for developers
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "keys.gguf")
        writer = gguf.GGUFWriter(path, architecture)
        write(writer)
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
        except (struct.error, TypeError, ValueError, AttributeError, OverflowError) as error:
            message = f"{source}: its files hold a value that no key can hold ({error})"
            raise ModelFileError(message, "look for it in the .json files") from error
        finally:
            writer.close()
        return copied_pairs(GGUF.open(path).metadata)
