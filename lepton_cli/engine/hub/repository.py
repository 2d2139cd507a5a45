"""What a repository on the hub holds, and which of its files a name stands for."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from lepton_cli.engine.hub.transport import TOKEN_PAGE, Response, StatusError, Transport
from lepton_cli.engine.hub.wanted import HubFiles, is_safe, listing
from lepton_cli.engine.library.addresses import (
    USUAL_QUANTIZATIONS,
    pull_command,
    quantization_pattern,
)
from lepton_cli.engine.library.catalogue import load_aliases
from lepton_cli.engine.library.stores import SHARD, shard_names
from lepton_cli.engine.library.suggestions import nearest
from quant.errors import LeptonError, UsageError

MOST_ANSWER = 1 << 25  # bytes of a repository's listing
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")  # sha256 of a file; git's sha1 of a small one
COMPANIONS = ("mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-")  # beside models
QUANTIZATION = re.compile(  # at the end of a name
    r"[.-]((?:UD-)?I?Q\d\w*|TQ\d\w*|(?:MX|NV)FP4\w*|B?F16|F32)$", re.IGNORECASE
)
NOTHING_HERE = (401, 404)  # 401, RepoNotFound: what a stranger may not know of
MOST_SHOWN = 6  # names in a hint


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository. `digest`: 64 digits are its sha256, 40 git's sha1."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model: one file, or all its shards in order."""

    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def path(self) -> str:
        return self.files[0].path

    @property
    def quantization(self) -> str | None:
        """As the file's name says; in upper case."""
        stem = PurePosixPath(SHARD.sub(r"\g<prefix>.gguf", self.path)).stem
        match = QUANTIZATION.search(stem)
        return match[1].upper() if match else None


class Repository:
    """The files of one commit."""

    def __init__(self, name: str, commit: str, files: Sequence[HubFile]) -> None:
        self.name, self.commit, self.files = name, commit, files

    @cached_property
    def models(self) -> list[HubModel]:
        """In the repository's order. Those that lack a shard are left out."""
        found = []
        for file in self.files:
            shard = SHARD.fullmatch(file.path)
            if is_model(file.path) and (shard is None or int(shard["number"]) == 1):
                parts = self._shards(file)
                if parts is not None:
                    found.append(HubModel(parts))
        return found

    def choose(self, wanted: HubFiles) -> HubModel:
        """Raises UsageError, naming what there is, if nothing of that name is there."""
        if wanted.file is not None:
            return self._by_file(wanted.file)
        choices = [wanted.quantization] if wanted.quantization else USUAL_QUANTIZATIONS
        for choice in choices:
            if found := self._of_quantization(choice):
                return found[0]
        if wanted.quantization or not self.models:
            raise self.lacks(wanted.quantization)
        return self.models[0]

    def companion(self, model: HubModel) -> HubFile | None:
        """The image projector that belongs to the model: the nearest one in its folders."""
        place = PurePosixPath(model.path).parent
        found = [
            file
            for file in self.files
            if "mmproj" in file.path.lower()
            and file.path.lower().endswith(".gguf")
            and place.is_relative_to(PurePosixPath(file.path).parent)
        ]
        bits = _bits(model.path)
        return min(
            found,
            key=lambda file: (-file.path.count("/"), abs(_bits(file.path) - bits)),
            default=None,
        )

    def _shards(self, first: HubFile) -> tuple[HubFile, ...] | None:
        shard = SHARD.fullmatch(first.path)
        if shard is None:
            return (first,)
        by_path = {file.path: file for file in self.files}
        if int(shard["count"]) > len(by_path):
            return None
        names = shard_names(first.path)
        return tuple(by_path[name] for name in names) if by_path.keys() >= {*names} else None

    def _by_file(self, path: str) -> HubModel:
        """The model that the file belongs to, or the file alone if it is not a model's."""
        for model in self.models:
            if path.lower() in [file.path.lower() for file in model.files]:
                return model
        inside = [m for m in self.models if m.path.lower().startswith(f"{path.lower()}/")]
        for file in self.files:
            if file.path.lower() == path.lower():
                return HubModel((file,))
        if len(inside) != 1:
            raise self.lacks(path)
        return inside[0]

    def _of_quantization(self, quantization: str) -> list[HubModel]:
        pattern = quantization_pattern(quantization)
        return [model for model in self.models if pattern.search(model.path.lower())]

    def lacks(self, what: str | None) -> UsageError:
        """The error for a model that it does not hold; None: it holds none at all."""
        names = list(dict.fromkeys(model.quantization or model.path for model in self.models))
        if not names:
            return UsageError(f"{self.name} holds no GGUF model", self._see_also())
        paths = [*names, *(model.path for model in self.models)]
        nearest_first = dict.fromkeys([*nearest(what or "", paths), *names])
        shown = ", ".join([*nearest_first][:MOST_SHOWN])
        return UsageError(
            f"{self.name} has no {what}", f"it has {shown}; all: {listing(self.name)}"
        )

    def _see_also(self) -> str:
        return f"models of others in that format are often called {self.name.split('/')[1]}-GGUF"


def is_model(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    return name.endswith(".gguf") and not any(mark in name for mark in COMPANIONS)


def read_repository(transport: Transport, wanted: HubFiles) -> Repository:
    """Asks the hub for the repository's files. Raises LeptonError."""
    revision = quote(wanted.revision, safe="")
    url = f"{transport.hub.endpoint}/api/models/{wanted.repo}/revision/{revision}?blobs=true"
    try:
        data = transport.patiently(url, _whole, Accept="application/json")
    except StatusError as error:
        raise refused(transport, wanted, error) from error
    try:
        return _repository(wanted.repo, json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        message = f"{transport.hub.host} does not answer as the hub does"
        raise LeptonError(message, "if HF_ENDPOINT is set, check it") from error


def refused(transport: Transport, wanted: HubFiles, error: StatusError) -> LeptonError:
    """What the hub's refusal means."""
    repo, page = wanted.repo, f"{transport.hub.endpoint}/{wanted.repo}"
    if error.status == 401 and error.code not in ("GatedRepo", "RepoNotFound"):
        what = "does not accept the token" if transport.hub.token else "wants a token"
        return LeptonError(f"{transport.hub.host} {what} for {repo}", _login())
    if error.code == "GatedRepo" or error.status == 403:
        cure = f"accept its licence on {page} and set HF_TOKEN to a token from {TOKEN_PAGE}"
        return LeptonError(f"{repo} is gated: the hub gives it only to who accepted it", cure)
    if error.code == "RevisionNotFound":
        message = f"{repo} has no revision {wanted.revision}"
        return UsageError(message, f"for the newest: {pull_command(repo)}")
    if error.code == "EntryNotFound":
        message = f"{repo} does not hold the file any more that it lists"
        return LeptonError(message, f"to see what it holds: {listing(repo)}")
    if error.status not in NOTHING_HERE:
        return error
    similar = _similar(transport, repo)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"if it is private: {_login()}"
    return UsageError(f"{repo} is not on {transport.hub.host}, or it is private", hint)


def _whole(response: Response) -> bytes:
    return response.read_all(MOST_ANSWER)


def _login() -> str:
    return f"set HF_TOKEN to a token from {TOKEN_PAGE}"


def _similar(transport: Transport, repo: str) -> list[str]:
    """Repositories of a similar name: of the catalogue, and what the hub's search finds."""
    known = [alias.repo for alias in load_aliases().values() if alias.repo]
    if similar := nearest(repo, known):
        return similar
    name = quote(repo.split("/")[1], safe="")
    url = f"{transport.hub.endpoint}/api/models?search={name}&filter=gguf&limit={MOST_SHOWN}"
    try:
        with transport.open(url, Accept="application/json") as response:
            found = json.loads(_whole(response))
        ids = [str(each["id"]) for each in found]
    except (LeptonError, ValueError, KeyError, TypeError):  # it was only for a suggestion
        return []
    return [each for each in ids if is_safe(each)][:3]


def _repository(name: str, answer: dict[str, Any]) -> Repository:
    commit = str(answer["sha"])
    if not COMMIT.fullmatch(commit):
        raise ValueError("no commit")
    own = str(answer.get("id", name))  # the hub does not distinguish upper and lower case
    same = own.lower() == name.lower()
    return Repository(own if same else name, commit, list(_files(answer["siblings"])))


def _files(siblings: Iterable[dict[str, Any]]) -> Iterable[HubFile]:
    """Raises LeptonError for a name that leads out of its folder: it is not from the real hub."""
    for each in siblings:
        path, lfs = str(each["rfilename"]), each.get("lfs")
        digest = str(lfs["sha256"] if lfs else each.get("blobId"))
        size = lfs["size"] if lfs else each.get("size")
        if not is_safe(path):
            raise LeptonError(f"the hub names the file {path!r}, which leads out of its folder")
        if DIGEST.fullmatch(digest) and isinstance(size, int) and size >= 0:
            yield HubFile(path, size, digest)


def _bits(path: str) -> int:
    """16 of F16, 4 of Q4_K_M."""
    match = QUANTIZATION.search(PurePosixPath(path).stem)
    digits = re.search(r"\d+", match[1]) if match else None
    return int(digits[0]) if digits else 16
