"""Manifests: the hash of each tensor and of the metadata, in a JSON file.

They say nothing of how a model is divided into files: split, it has the same manifest.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.library.outputs import write_named
from ops.files.own_files import open_file
from quant.errors import UsageError
from quant.gguf import Metadata

SCHEMA = "lepton.manifest.v1"
MADE_BY = "make one of the good file: lepton verify FILE --write-manifest manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Digests (sha256, hexadecimal). Of a tensor: its format, shape and data."""

    metadata: str
    tensors: Mapping[str, str]


def metadata_digest(metadata: Metadata) -> str:
    """Of all keys with their values, in the order of their names, but those of a split file."""
    digest = hashlib.sha256()
    for key in sorted(metadata):
        if not key.startswith("split."):
            value = metadata.stored(key)
            digest.update(f"{key}\n{len(value)}\n".encode())
            digest.update(value)
    return digest.hexdigest()


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Raises UsageError."""
    record = {
        "schema": SCHEMA,
        "metadata": manifest.metadata,
        "tensors": dict(sorted(manifest.tensors.items())),
    }
    write_named(path, (json.dumps(record, indent=1) + "\n").encode())


def read_manifest(path: Path) -> Manifest:
    """Raises UsageError for a file that cannot be read, or is no manifest."""
    try:
        with open(open_file(path), "rb") as file:
            record = json.loads(file.read())
        if record["schema"] == SCHEMA:
            tensors = {str(name): str(digest) for name, digest in record["tensors"].items()}
            return Manifest(str(record["metadata"]), tensors)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", MADE_BY) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is not a manifest", MADE_BY) from error
    raise UsageError(f"{path} is not a manifest of this kind ({SCHEMA})", MADE_BY)
