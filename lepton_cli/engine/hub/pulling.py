"""Pulls a model: finds its files, downloads what is missing, and puts them where they are found."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from lepton_cli.engine.hub.cache import LOCKS, RepositoryCache, lock
from lepton_cli.engine.hub.download import ROOM_HINT, Expected, fetch, probe
from lepton_cli.engine.hub.events import Event, Progress, Remark, Tell
from lepton_cli.engine.hub.part_file import room_needed
from lepton_cli.engine.hub.repository import (
    HubFile,
    HubModel,
    Repository,
    is_model,
    read_repository,
    refused,
)
from lepton_cli.engine.hub.transport import StatusError, Transport
from lepton_cli.engine.hub.wanted import HubFiles, WebFile
from lepton_cli.engine.library.outputs import check_room
from lepton_cli.engine.library.stores import (
    hugging_face_folder,
    llama_cpp_folder,
    shard_paths,
)
from ops.files.whole_files import replace_file
from ops.machine import available_memory
from quant.errors import UsageError


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model that is on disk now. `fetched`: bytes that were downloaded for it."""

    path: Path  # of the first shard
    size: int
    fetched: int
    companion: Path | None = None  # the image projector


@dataclass(frozen=True, slots=True)
class HubPlan:
    """What is to be pulled of a repository."""

    wanted: HubFiles
    repository: Repository
    model: HubModel
    companion: HubFile | None

    @property
    def files(self) -> tuple[HubFile, ...]:
        return self.model.files + ((self.companion,) if self.companion else ())

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def cache(self) -> RepositoryCache:
        return RepositoryCache(hugging_face_folder(), self.repository.name)

    @property
    def missing(self) -> list[HubFile]:
        """What is not on this disk yet."""
        cache, commit = self.cache, self.repository.commit
        return [file for file in self.files if not _is_here(cache, commit, file)]


def plan(transport: Transport, wanted: HubFiles, *, companion: bool = True) -> HubPlan:
    """Asks the hub what there is, and chooses. Raises LeptonError."""
    repository = read_repository(transport, wanted)
    model = repository.choose(wanted)
    beside = repository.companion(model) if companion and is_model(model.path) else None
    return HubPlan(wanted, repository, model, beside)


def pull_from_hub(transport: Transport, chosen: HubPlan, tell: Tell) -> Pulled:
    """Downloads what is missing; all files appear at once at the end. Raises LeptonError, OSError.

    Blobs that are here are not downloaded again, also those of huggingface_hub and llama.cpp.
    """
    wanted, commit = chosen.wanted, chosen.repository.commit
    if wanted.sha256 not in (None, chosen.model.files[0].digest):
        tell(Remark(f"{wanted} on the hub is another version than the one in models.toml"))
    free = available_memory()
    if chosen.model.size > free.bytes:
        tell(Remark(f"{chosen.model.path} will not fit into memory now: {free}"))
    cache = chosen.cache
    missing = chosen.missing
    if missing:
        cache.blobs.mkdir(parents=True, exist_ok=True)
        needed = sum(room_needed(cache.blob(file.digest), file.size) for file in missing)
        check_room(cache.blobs, needed, "downloaded", ROOM_HINT)
    done, total = 0, sum(file.size for file in missing)
    for file in missing:
        with cache.locked(file.digest, file.path, tell):
            if not _is_here(cache, commit, file):
                _fetch_blob(transport, chosen, cache, file, _shifted(tell, done, total))
        done += file.size
    # the first shard last: it is what a model is found by
    paths = [cache.link(commit, file.path, file.digest) for file in reversed(chosen.files)][::-1]
    cache.set_ref(wanted.revision, commit)
    return Pulled(paths[0], chosen.size, done, paths[-1] if chosen.companion else None)


def file_url(transport: Transport, repository: Repository, file: HubFile) -> str:
    commit, path = repository.commit, quote(file.path)
    return f"{transport.hub.endpoint}/{repository.name}/resolve/{commit}/{path}"


def pull_from_web(transport: Transport, wanted: WebFile, tell: Tell) -> Pulled:
    """Downloads a file, or all parts of a split one, to llama.cpp's folder, as llama.cpp does.

    A file that is there is downloaded again only if the server has another version. Raises
    LeptonError, OSError.
    """
    folder = llama_cpp_folder()
    folder.mkdir(parents=True, exist_ok=True)
    size = fetched = 0
    for target in reversed(shard_paths(folder / wanted.name)):  # the first shard last
        url = _beside(wanted.url, target.name)
        with lock(folder / LOCKS / f"{target.name}.lock", target.name, tell):
            fetched += _fetch_file(transport, Expected(target.name, url), target, tell)
        size += target.stat().st_size
    return Pulled(target, size, fetched)


def _is_here(cache: RepositoryCache, commit: str, file: HubFile) -> bool:
    return any(
        path.is_file() and path.stat().st_size == file.size
        for path in (cache.blob(file.digest), cache.file(commit, file.path))
    )


def _fetch_blob(
    transport: Transport, chosen: HubPlan, cache: RepositoryCache, file: HubFile, tell: Tell
) -> None:
    url = file_url(transport, chosen.repository, file)
    expected = Expected(file.path, url, file.size, file.digest)
    try:
        fetch(transport, expected, cache.blob(file.digest), tell)
    except StatusError as error:
        raise refused(transport, chosen.wanted, error) from error


def _fetch_file(transport: Transport, expected: Expected, target: Path, tell: Tell) -> int:
    """Returns how many bytes were downloaded. Raises LeptonError."""
    note = target.with_name(f"{target.name}.etag")  # llama.cpp's record of the file's version
    if target.exists():
        known = note.read_text(encoding="utf-8") if note.is_file() else None
        source = probe(transport, expected)
        if target.stat().st_size == source.size and known in (None, source.validator):
            return 0
        if known is None:
            message = f"{target} exists, and is another file than the server's"
            raise UsageError(message, f"remove it first: lepton models --remove {target.name}")
    source = fetch(transport, expected, target, tell)
    if source.validator and source.validator.startswith('"'):  # not a date
        with replace_file(note) as stream:
            stream.write(source.validator.encode())
    return target.stat().st_size


def _beside(url: str, name: str) -> str:
    """The address of another file in the same folder of a server."""
    parts = urlsplit(url)
    path = f"{parts.path.rpartition('/')[0]}/{quote(name)}"
    return url if unquote(parts.path) == unquote(path) else parts._replace(path=path).geturl()


def _shifted(tell: Tell, before: int, total: int) -> Tell:
    """Reports the progress of one file as that of all."""

    def told(event: Event) -> None:
        if isinstance(event, Progress):
            event = Progress(event.name, before + event.done, total)
        tell(event)

    return told
