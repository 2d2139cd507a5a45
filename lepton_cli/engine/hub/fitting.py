"""Which models of a repository fit into this machine's memory, by the plan that opening makes.

Only the beginning of one model is downloaded: what it says of the model's layers holds for every
quantization, and the weights take as much memory as the files have bytes.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from lepton_cli.engine.hub.download import read_range
from lepton_cli.engine.hub.events import Remark, Tell
from lepton_cli.engine.hub.pulling import file_url
from lepton_cli.engine.hub.repository import HubFile, HubModel, Repository, refused
from lepton_cli.engine.hub.transport import StatusError, Transport
from lepton_cli.engine.hub.wanted import HubFiles
from lepton_cli.engine.loading.adapters import BoundAdapters
from lepton_cli.engine.loading.memory import process_needs
from lepton_cli.engine.loading.plan import LoadOptions, plan_memory, trained_context
from lepton_cli.engine.loading.prepare import needs_here, recorded, settled
from ops.backend import Resources
from ops.machine import available_memory
from ops.needs import Needs
from quant.errors import ModelFileError, OutOfMemoryError, UsageError
from quant.gguf import GGUF, CutShortError

FIRST_BYTES, MOST_BYTES = 1 << 20, 1 << 27  # of a file's header


@dataclass(frozen=True, slots=True)
class Fit:
    """The context that fits, in tokens (0: the model does not), and the bytes that it takes.

    `whole`: it is as long as the model was trained for.
    """

    context: int
    bytes: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of a repository. `fit` None: it is not known whether Lepton can run it."""

    model: HubModel
    fit: Fit | None


@dataclass(frozen=True, slots=True)
class _Basis:
    """What one model's header says: the memory needs at the size of its own files."""

    needs: Needs
    size: int
    trained: int
    most_positions: int | None


def offers(transport: Transport, repository: Repository, tell: Tell) -> list[Offer]:
    """The models, of which there is one at least, the smallest first. Raises LeptonError."""
    models = sorted(repository.models, key=lambda model: (model.size, model.path))
    first = min(models, key=lambda model: (len(model.files), model.size))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, Path(file.path).name) for file in first.files]
        try:
            for path, file in zip(paths, first.files, strict=True):
                _read_header(transport, repository, file, path)
            basis = _basis(paths[0], first.size)
        except StatusError as error:  # the list is public, the files are not
            tell(Remark(refused(transport, HubFiles(repository.name), error).message))
            return [Offer(model, None) for model in models]
        except (ModelFileError, UsageError) as error:  # not a model that Lepton can run
            reason = error.message.removeprefix(f"{paths[0]}: ")
            tell(Remark(f"{first.path}: {reason}"))
            return [Offer(model, None) for model in models]
    return [Offer(model, _fit(model, basis)) for model in models]


def _fit(model: HubModel, basis: _Basis) -> Fit:
    scale = model.size / basis.size
    needs = replace(
        basis.needs,
        layers=tuple(int(each * scale) for each in basis.needs.layers),
        head=int(basis.needs.head * scale),
        embedding=int(basis.needs.embedding * scale),
    )
    path, free = Path(model.path), available_memory()
    try:
        plan = plan_memory(
            path, needs, None, basis.trained, free, most_positions=basis.most_positions
        )
    except OutOfMemoryError:
        least = needs.total(len(needs.layers), 1) + needs.process
        return Fit(0, least, whole=False)
    return Fit(plan.context, plan.total, plan.context >= basis.trained)


def _basis(path: Path, size: int) -> _Basis:
    file = GGUF.open(path)
    options = settled(file, LoadOptions(pooling="if named"))
    trained = trained_context(file)
    program, _ = recorded(file, options, trained, BoundAdapters(file, ()))
    resources = Resources(1, path.parent, lambda compiling: None)  # nothing is compiled
    needs = needs_here(program, trained, options, None, resources)
    needs = replace(needs, process=process_needs(file.metadata))
    return _Basis(needs, size, trained, program.most_positions)


def _read_header(transport: Transport, repository: Repository, file: HubFile, path: Path) -> None:
    """Makes a sparse file as long as the real one, with its header. Raises LeptonError."""
    url, here, size = file_url(transport, repository, file), 0, min(FIRST_BYTES, file.size)
    while True:
        with path.open("ab") as stream:
            stream.write(read_range(transport, url, here, size))
        try:
            GGUF.check_header(path)
            break
        except CutShortError:
            if size >= min(file.size, MOST_BYTES):
                raise
            here, size = size, min(size * 4, file.size, MOST_BYTES)
    with path.open("r+b") as stream:
        stream.truncate(file.size)
