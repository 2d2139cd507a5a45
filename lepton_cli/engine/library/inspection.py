"""What a model file says of itself, and what its tensors are made of.

Nothing here insists on a key: a file that cannot be run can still be looked into.
"""

from dataclasses import dataclass

from lepton_cli.engine.library.json_values import Plain, plain
from quant.gguf import GGUF, Strings, Tensor


@dataclass(frozen=True, slots=True)
class Share:
    """What one format holds of the file's weights."""

    format: str
    tensors: int
    weights: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TensorFacts:
    name: str
    format: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """Sizes in bytes; `shares` with the largest first; None for what the file does not say."""

    path: str
    version: int
    file_bytes: int
    architecture: Plain
    parameters: int
    shares: tuple[Share, ...]
    metadata: dict[str, Plain]
    tokens: int
    template: str | None
    tensors: tuple[TensorFacts, ...]

    def own(self, key: str) -> Plain:
        """The value of a key under the architecture's name."""
        return self.metadata.get(f"{self.architecture}.{key}")


def inspect(file: GGUF) -> Inspection:
    keys, template = file.metadata, file.metadata.get("tokenizer.chat_template")
    tokens = keys.get("tokenizer.ggml.tokens")
    return Inspection(
        path=str(file.path),
        version=file.version,
        file_bytes=file.file_bytes,
        architecture=plain(keys.get("general.architecture")),
        parameters=sum(tensor.size for tensor in file.tensors.values()),
        shares=shares(file),
        metadata={key: plain(value) for key, value in keys.items()},
        tokens=len(tokens) if isinstance(tokens, Strings) else 0,
        template=template if isinstance(template, str) else None,
        tensors=tuple(
            TensorFacts(tensor.name, tensor.format.name, tensor.shape, tensor.data.nbytes)
            for tensor in file.tensors.values()
        ),
    )


def shares(file: GGUF) -> tuple[Share, ...]:
    by_format: dict[str, list[Tensor]] = {}
    for tensor in file.tensors.values():
        by_format.setdefault(tensor.format.name, []).append(tensor)
    found = (
        Share(
            format=name,
            tensors=len(tensors),
            weights=sum(tensor.size for tensor in tensors),
            bytes=sum(tensor.data.nbytes for tensor in tensors),
        )
        for name, tensors in by_format.items()
    )
    return tuple(sorted(found, key=lambda share: -share.weights))
