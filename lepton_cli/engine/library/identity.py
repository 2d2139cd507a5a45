"""The identity of a model: a digest that results, caches and chats are bound to.

It hashes the tensor table (name, format, shape), eight samples of 4 KiB of each tensor, evenly
spaced from first to last byte, and all metadata keys except `general.*` and `split.*`; of these
only the architecture matters for answers.

So another size, quantization, training, tokenizer, chat template or rope setting gives another
identity; a renamed, moved, merged or split file is the same model. A change of a few bytes between
the samples (by hand, or by a failing disk) is not detected; that takes a checksum of the file.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from mmap import mmap

import numpy as np

from quant.gguf import GGUF, Metadata, Stamp, Tensor, Value
from quant.strings import Strings

VERSION = b"lepton.model.1"
SAMPLE_BYTES, SAMPLES = 4096, 8  # per tensor: milliseconds for any size of file
IRRELEVANT = ("general.", "split.")
ARCHITECTURE = "general.architecture"


class SourceFile:
    """A file that a program is made of; its digest is computed on demand."""

    def __init__(self, file: GGUF) -> None:
        self._file = file

    @property
    def name(self) -> str:
        return model_name(self._file)

    @cached_property
    def identity(self) -> str:
        return model_identity(self._file)

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        return tuple(self._file.stamps)

    @property
    def maps(self) -> tuple[mmap, ...]:
        return tuple(self._file.maps)


def model_name(file: GGUF) -> str:
    """The name in the file's metadata, or the file's name without suffix and shard number."""
    name = file.metadata.get("general.name")
    if isinstance(name, str) and name:
        return name
    return file.path.name.removesuffix(".gguf").split("-00001-of-")[0]


def model_identity(file: GGUF) -> str:
    """64 hexadecimal digits, independent of the machine and of the file's path."""
    digest = hashlib.sha256()
    for part in _parts(file):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _parts(file: GGUF) -> Iterator[bytes]:
    yield VERSION
    yield from _settings(file.metadata)
    for name in sorted(file.tensors):
        tensor = file.tensors[name]
        yield f"{name} {tensor.format.name} {tensor.shape}".encode()
        yield _sample(tensor)


def _settings(metadata: Metadata) -> Iterator[bytes]:
    for key in sorted(metadata):
        if key == ARCHITECTURE or not key.startswith(IRRELEVANT):
            yield key.encode()
            yield _content(metadata[key])


def _content(value: Value) -> bytes:
    if isinstance(value, Strings):
        return value.raw()
    if isinstance(value, np.ndarray):
        return value.dtype.str.encode() + value.tobytes()
    return repr(value).encode("utf-8", "surrogatepass")


def _sample(tensor: Tensor) -> bytes:
    data = tensor.data.reshape(-1)
    if data.size <= SAMPLE_BYTES * SAMPLES:
        return data.tobytes()
    gaps = SAMPLES - 1
    starts = [(data.size - SAMPLE_BYTES) * i // gaps for i in range(SAMPLES)]
    return b"".join(data[start : start + SAMPLE_BYTES].tobytes() for start in starts)
