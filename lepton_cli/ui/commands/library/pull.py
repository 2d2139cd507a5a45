"""`lepton pull`: downloads a model, or lists what a repository holds."""

import os
import sys
from dataclasses import dataclass

from lepton_cli.engine.hub.pulling import HubPlan, Pulled, plan, pull_from_hub, pull_from_web
from lepton_cli.engine.hub.transport import Hub, Transport
from lepton_cli.engine.hub.wanted import HubFiles, WebFile, listing, wanted
from lepton_cli.engine.library.catalogue import load_aliases, on_disk, resolve
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.library.stores import list_models, model_bytes
from lepton_cli.ui.arguments.usage.llamacpp import model_of
from lepton_cli.ui.reports.numbers import size
from lepton_cli.ui.reports.pull_bar import PullBar
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from lepton_cli.ui.terminal.terminal import is_terminal
from quant.errors import LeptonError, UsageError

SCHEMA = "lepton.pull.v1"
ONLINE_HINT = "leave out --offline (or unset HF_HUB_OFFLINE)"
KEPT = "what came is kept: the same command continues there, lepton models --remove drops it"


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
    name = _named(request)
    what = wanted(name)
    offline = request.offline or is_offline()
    if offline and request.list_only:
        raise UsageError(f"what {name} holds is only known on the network", ONLINE_HINT)
    if offline:
        _show(request, _offline(name))
    elif request.list_only:
        from lepton_cli.ui.commands.library.listing import show_models  # it imports NumPy

        show_models(what, json=request.json, quiet=request.quiet)
    else:
        here = _in_catalogue(name)
        _show(request, here or download(what, companion=request.companion, quiet=request.quiet))


def is_offline() -> bool:
    """Whether the variable of Hugging Face's tools forbids to use the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "true", "yes")


def download(what: HubFiles | WebFile, *, companion: bool = True, quiet: bool = False) -> Pulled:
    """Downloads it, with progress on stderr. Raises LeptonError."""
    bar = PullBar(quiet=quiet)
    transport = Transport(Hub.of_environment(), bar)
    try:
        if isinstance(what, WebFile):
            return pull_from_web(transport, what, bar)
        chosen = plan(transport, what, companion=companion)
        if chosen.missing and not quiet:
            _announce(transport, chosen, bar)
        return pull_from_hub(transport, chosen, bar)
    except KeyboardInterrupt:
        bar.close()
        note(KEPT)
        raise
    except OSError as error:  # of the disk: those of the network are LeptonErrors
        where = f"{error.filename}: " if error.filename else ""
        hint = "set HF_HUB_CACHE to a folder that can be written (LLAMA_CACHE for addresses)"
        raise LeptonError(f"{where}{error.strerror or error}", hint) from error
    finally:
        bar.close()


def _named(request: PullRequest) -> str:
    """Raises UsageError for no name, or several."""
    given = [name for name in (request.name, request.repo, request.url) if name is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} are both given", "give one of them")
    if request.name is not None and request.file is not None:
        raise UsageError("-hff names a file of the repository of -hf", "add -hf USER/REPO")
    if request.name is not None:
        return request.name
    if not given and request.file is None:
        raise UsageError("no model given", "for example: lepton pull smollm2-135m")
    return model_of(request.repo, request.file, request.url)


def _announce(transport: Transport, chosen: HubPlan, bar: PullBar) -> None:
    """What is about to come; if the user did not choose, also what else there is."""
    model, repository = chosen.model, chosen.repository
    others = len(repository.models) - 1
    open_choice = others and not (chosen.wanted.quantization or chosen.wanted.file)
    if open_choice and is_terminal(sys.stderr):
        from lepton_cli.engine.hub.fitting import offers  # it imports NumPy
        from lepton_cli.ui.commands.library.listing import show_table

        show_table(offers(transport, repository, bar), sys.stderr)
    elif open_choice:
        note(f"{repository.name} has {counted(others, 'other model')}: {listing(repository.name)}")
    beside = f" and {chosen.companion.path}" if chosen.companion else ""
    note(f"{repository.name}: {model.path}{beside}, {size(chosen.size)}")


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


def _in_catalogue(name: str) -> Pulled | None:
    """A model of the catalogue that is on this disk, in the folder of any program."""
    alias = load_aliases().get(name.lower())
    entry = on_disk(alias, list_models()) if alias is not None else None
    return None if entry is None else Pulled(entry.path, entry.size, 0)


def _offline(name: str) -> Pulled:
    """The model as it is on this disk. Raises UsageError if it is not."""
    try:
        path = resolve(name)
    except UsageError as error:
        raise UsageError(error.message, ONLINE_HINT) from error
    return Pulled(path, model_bytes(path), 0)
