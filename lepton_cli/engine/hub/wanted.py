"""What a name given for download stands for: files of a repository, or an address."""

import os
import re
import shlex
import sys
from dataclasses import dataclass
from string import punctuation
from urllib.parse import quote, unquote, urlsplit

from lepton_cli.engine.library.addresses import (
    HUB,
    OLLAMA,
    REPOSITORY,
    REPOSITORY_FILE,
    pull_command,
)
from lepton_cli.engine.library.catalogue import load_aliases
from lepton_cli.engine.library.suggestions import did_you_mean
from quant.errors import UsageError

REPO_NAME = re.compile(r"(?![.-])[\w.-]+(?<![.-])/(?![.-])[\w.-]+(?<![.-])", re.ASCII)
DOUBLED = ("--", "..")  # not in names on the hub; `--` stands for `/` in the cache's folders
QUANTIZATION = re.compile(r"[A-Za-z0-9_.-]+")
RESERVED = r':*?"<>|' if sys.platform == "win32" else ""
FORBIDDEN = re.compile(rf"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff{RESERVED}]")
EXAMPLES = "give a name of the catalogue (`lepton models`), user/repo, or a URL"


@dataclass(frozen=True, slots=True)
class HubFiles:
    """The files of a model on the hub: by quantization, by name, or (with neither) the usual one.

    `file` may also be a folder of the repository. `sha256`: what the catalogue expects.
    """

    repo: str
    quantization: str | None = None
    file: str | None = None
    revision: str = "main"
    sha256: str | None = None

    def __str__(self) -> str:
        if self.file:
            return f"{self.repo}/{self.file}"
        return f"{self.repo}:{self.quantization}" if self.quantization else self.repo


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file at an address; `name` is what it is called on disk."""

    url: str
    name: str

    def __str__(self) -> str:
        return self.name


def wanted(name: str) -> HubFiles | WebFile:
    """Raises UsageError for a name that stands for nothing that can be downloaded."""
    aliases = load_aliases()
    alias = aliases.get(name.lower())
    if alias is not None:
        if alias.repo is None:
            raise UsageError(f"{name} is part of Lepton", f"to talk: lepton chat {alias.name}")
        return HubFiles(alias.repo, file=alias.file, sha256=alias.sha256)
    if os.path.isfile(os.path.expanduser(name)):
        raise UsageError(f"{name} is on this disk", f"to talk: lepton chat {shlex.quote(name)}")
    if hub := HUB.fullmatch(name):
        return hub_files(hub["repo"], hub["quantization"], hub["file"], hub["revision"])
    if REPOSITORY.fullmatch(name):
        repo, _, quantization = name.partition(":")
        return hub_files(repo, quantization)
    if inside := REPOSITORY_FILE.fullmatch(name):
        return hub_files(inside["repo"], file=inside["file"])
    if ollama := OLLAMA.fullmatch(name):
        message = f"{name} is a model of ollama's library, which Lepton does not download from"
        raise UsageError(message, f"use its own program: ollama pull {ollama['model']}")
    if "://" in name:
        return web_file(name)
    raise UsageError(f"no model is called {name}", did_you_mean(name, aliases) or EXAMPLES)


def hub_files(
    repo: str, quantization: str | None = None, file: str | None = None, revision: str | None = None
) -> HubFiles:
    """Raises UsageError for names that the hub does not allow, as those with `..`."""
    if not REPO_NAME.fullmatch(repo) or any(each in repo for each in DOUBLED):
        raise UsageError(f"{repo!r} is no name of a repository", "it is like Qwen/Qwen3-0.6B-GGUF")
    if quantization and not QUANTIZATION.fullmatch(quantization):
        raise UsageError(f"{quantization!r} is no quantization", "it is like Q4_K_M")
    file, revision = unquote(file or "").strip("/"), unquote(revision or "main")
    for path in filter(None, (file, revision)):
        if not is_safe(path):
            raise UsageError(f"{path!r} leads out of the repository", f"see: {listing(repo)}")
    return HubFiles(repo, quantization or None, file or None, revision)


def listing(repo: str) -> str:
    """The command that lists a repository's models."""
    return f"{pull_command(repo)} --list"


def web_file(url: str) -> WebFile:
    """Raises UsageError for an address that is not one of a file on the web."""
    if not is_web_address(url):
        raise UsageError(f"{url} is no address on the web", EXAMPLES)
    parts = urlsplit(url)
    name = unquote(parts.path.rpartition("/")[2])
    if not is_safe(name) or "/" in name or not name.lower().endswith(".gguf"):
        raise UsageError(f"{shown_url(url)} names no .gguf file", "give the address of the file")
    return WebFile(quote(url, safe=punctuation), name)  # spaces, letters beyond ASCII


def is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets, a port that is no number
        return False


def shown_url(url: str) -> str:
    """The address without what may be secret: a password, a signature in the query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_safe(path: str) -> bool:
    """Whether a path of a repository stays in its folder, on every system."""
    parts = path.split("/")
    ends = all(part.strip(". ") and part == part.rstrip(" ") for part in parts)
    return ends and not FORBIDDEN.search(path) and len(path) < 1000
