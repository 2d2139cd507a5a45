"""A summary of a model file: metadata, structure, sizes, tensors and their formats.

No key is required: a file that cannot be run can still be inspected.
"""

from dataclasses import dataclass, replace

from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.loading.plan import build, trained_context
from lepton_cli.engine.loading.structure import Structure, structure_of
from quant.errors import ModelFileError
from quant.gguf import GGUF, Tensor
from quant.strings import Strings

NEXT_TOKEN = ".nextn.eh_proj.weight"  # the tensor that makes a block one that guesses


@dataclass(frozen=True, slots=True)
class Share:
    """The tensors of one format: how many, and their size."""

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
    """Sizes are in bytes; `shares` in descending order; None for missing keys.

    `structure`: of a file that can be run; what stands in the way otherwise is the `obstacle`.
    """

    path: str
    version: int
    file_bytes: int
    architecture: Plain
    parameter_count: int
    shares: tuple[Share, ...]
    metadata: dict[str, Plain]
    tokens: int
    template: str | None
    tensors: tuple[TensorFacts, ...]
    next_token_heads: int  # blocks that guess further tokens
    structure: Structure | None = None
    obstacle: str | None = None

    def own(self, key: str) -> Plain:
        """The value of the key `<architecture>.<key>`."""
        return self.metadata.get(f"{self.architecture}.{key}")


def inspect(file: GGUF) -> Inspection:
    """With what can be found out without running the model."""
    found = _inspect(file)
    try:
        structure = structure_of(build(file, trained_context(file)), found.parameter_count)
    except ModelFileError as error:
        return replace(found, obstacle=error.message.removeprefix(f"{file.path}: "))
    return replace(found, structure=structure)


def _inspect(file: GGUF) -> Inspection:
    keys, template = file.metadata, file.metadata.get("tokenizer.chat_template")
    tokens = keys.get("tokenizer.ggml.tokens")
    return Inspection(
        path=str(file.path),
        version=file.version,
        file_bytes=file.file_bytes,
        architecture=plain(keys.get("general.architecture")),
        parameter_count=sum(tensor.size for tensor in file.tensors.values()),
        shares=shares(file),
        metadata={key: plain(value) for key, value in keys.items()},
        tokens=len(tokens) if isinstance(tokens, Strings) else 0,
        template=template if isinstance(template, str) else None,
        tensors=tuple(
            TensorFacts(tensor.name, tensor.format.name, tensor.shape, tensor.data.nbytes)
            for tensor in file.tensors.values()
        ),
        next_token_heads=sum(name.endswith(NEXT_TOKEN) for name in file.tensors),
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
