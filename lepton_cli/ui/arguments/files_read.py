"""The files that a command reads, none of which may be its output."""

from collections.abc import Iterable
from pathlib import Path

from lepton_cli.engine.library.stores import shard_paths
from lepton_cli.engine.loading.adapters import AdapterFile


def files_read(
    model: Path,
    adapters: Iterable[AdapterFile],
    inputs: Iterable[str],
    texts: Iterable[str | None] = (),
) -> dict[str, str]:
    """What each file is to the command; `texts` are files that options name, if they do."""
    return {
        **dict.fromkeys(map(str, shard_paths(model)), "the model"),
        **dict.fromkeys((str(each.path) for each in adapters), "an adapter"),
        **dict.fromkeys(filter(None, texts), "an option's file"),
        **dict.fromkeys(inputs, "an input"),
    }
