"""`lepton pull`: downloads a model, or lists what a repository holds."""

import os
import sys
from dataclasses import dataclass

from lepton_cli.engine.hub.pulling import HubPlan, Pulled, plan, pull_from_hub, pull_from_web
from lepton_cli.engine.hub.transport import Hub, Transport
from lepton_cli.engine.hub.wanted import HubFiles, WebFile, hub_files, listing, wanted, web_file
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.ui.reports.numbers import size
from lepton_cli.ui.reports.pull_bar import PullBar
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from quant.errors import UsageError

SCHEMA = "lepton.pull.v1"
KEPT = "what came is kept: the same command continues there"


@dataclass(frozen=True, slots=True)
class PullRequest:
    """The command line's request. One of the first four names the model."""

    name: str | None
    repo: str | None
    file: str | None
    url: str | None
    list_only: bool = False
    companion: bool = True
    offline: bool = False
    quiet: bool = False
    json: bool = False


def pull_model(request: PullRequest) -> None:
    """Prints the file's path, or the list. Raises LeptonError."""
    what = _wanted(request)
    if request.list_only:
        from lepton_cli.ui.commands.library.listing import show_models  # it imports NumPy

        show_models(what, json=request.json, quiet=request.quiet)
        return
    if request.offline or os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes"):
        _show(request, _offline(str(request.name or request.url or what)))
        return
    _show(request, download(what, companion=request.companion, quiet=request.quiet))


def download(what: HubFiles | WebFile, *, companion: bool = True, quiet: bool = False) -> Pulled:
    """Downloads it, with progress on stderr. Raises LeptonError."""
    bar = PullBar(quiet=quiet)
    transport = Transport(Hub.of_environment(), bar)
    try:
        if isinstance(what, WebFile):
            return pull_from_web(transport, what, bar)
        chosen = plan(transport, what, companion=companion)
        if not quiet:
            _announce(chosen)
        return pull_from_hub(transport, chosen, bar)
    except KeyboardInterrupt:
        bar.close()
        note(KEPT)
        raise
    finally:
        bar.close()


def _wanted(request: PullRequest) -> HubFiles | WebFile:
    """Raises UsageError for no name, or several."""
    given = [name for name in (request.name, request.repo, request.url) if name is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} are both given", "give one of them")
    if request.file is not None and request.repo is None:
        raise UsageError("-hff names a file, but -hf no repository", "add -hf USER/REPO")
    if request.url is not None:
        return _of_address(request.url)
    if request.repo is not None:
        repo, _, quantization = request.repo.removeprefix("hf:").partition(":")
        return hub_files(repo, quantization, request.file)
    if request.name is None:
        raise UsageError("no model given", "for example: lepton pull smollm2-135m")
    return wanted(request.name)


def _of_address(url: str) -> HubFiles | WebFile:
    """An address on the hub stands for the hub's file, whose hash is known."""
    return wanted(url) if "://" in url else web_file(url)


def _announce(chosen: HubPlan) -> None:
    model, repository = chosen.model, chosen.repository
    beside = f" and {chosen.companion.path}" if chosen.companion else ""
    note(f"{repository.name}: {model.path}{beside}, {size(chosen.size)}")
    others = len(repository.models) - 1
    if others and not (chosen.wanted.quantization or chosen.wanted.file):
        note(f"it has {others} other models: {listing(repository.name)}")


def _show(request: PullRequest, pulled: Pulled) -> None:
    if request.json:
        emit_json(
            sys.stdout,
            {
                "schema": SCHEMA,
                "path": str(pulled.path),
                "bytes": pulled.size,
                "downloaded": pulled.fetched,
                "mmproj": str(pulled.companion) if pulled.companion else None,
            },
        )
        return
    if not pulled.fetched and not request.quiet:
        note("it is on this disk already")
    emit(sys.stdout, f"{pulled.path}\n")


def _offline(name: str) -> Pulled:
    """The model as it is on this disk. Raises UsageError if it is not."""
    try:
        path = resolve(name)
    except UsageError as error:
        raise UsageError(error.message, "--offline forbids downloading it") from error
    return Pulled(path, path.stat().st_size, 0)
