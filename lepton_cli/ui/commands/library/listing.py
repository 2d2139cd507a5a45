"""`lepton pull --list`: the models of a repository, their sizes, and which fit into memory."""

import sys
from collections.abc import Sequence
from typing import TextIO

from lepton_cli.engine.hub.fitting import Fit, Offer, offers
from lepton_cli.engine.hub.repository import read_repository
from lepton_cli.engine.hub.transport import Hub, Transport
from lepton_cli.engine.hub.wanted import HubFiles, WebFile
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.reports.numbers import columns, size
from lepton_cli.ui.reports.pull_bar import PullBar
from lepton_cli.ui.terminal.output import emit, emit_json
from lepton_cli.ui.terminal.terminal import width_of
from lepton_cli.ui.terminal.wrapping import cut
from quant.errors import UsageError

SCHEMA = "lepton.repository.v1"


def show_models(what: HubFiles | WebFile, *, json: bool, quiet: bool) -> None:
    """Prints the table. Raises LeptonError."""
    if isinstance(what, WebFile):
        raise UsageError("--list lists a repository, not an address", "give USER/REPO")
    bar = PullBar(quiet=quiet)
    transport = Transport(Hub.of_environment(), bar)
    repository = read_repository(transport, what)
    if not repository.models:
        raise repository.lacks(None)
    listed = offers(transport, repository, bar)
    bar.close()
    if json:
        models: list[Plain] = [_record(offer) for offer in listed]
        emit_json(sys.stdout, {"schema": SCHEMA, "repo": repository.name, "models": models})
    else:
        show_table(listed, sys.stdout)


def show_table(listed: Sequence[Offer], stream: TextIO) -> None:
    """On a terminal rows are cut to its width."""
    rows = [
        (each.model.quantization or "", size(each.model.size), _fits(each.fit), _files(each))
        for each in listed
    ]
    table = columns([("quant", "size", "fits", "file"), *rows], right=(1,))
    width = width_of(stream)
    lines = table.splitlines()
    emit(stream, "".join(f"{line if width is None else cut(line, width)}\n" for line in lines))


def _files(offer: Offer) -> str:
    parts = len(offer.model.files)
    return offer.model.path + (f" ({counted(parts, 'part')})" if parts > 1 else "")


def _fits(fit: Fit | None) -> str:
    if fit is None:
        return "not known"
    if not fit.context:
        return f"no: needs {size(fit.bytes)}"
    return "yes" if fit.whole else f"-c {fit.context}"


def _record(offer: Offer) -> Plain:
    fit = offer.fit
    return {
        "quantization": offer.model.quantization,
        "bytes": offer.model.size,
        "files": [file.path for file in offer.model.files],
        "fits": None if fit is None else fit.context > 0,
        "context": None if fit is None else fit.context,
        "memory": None if fit is None else fit.bytes,
    }
