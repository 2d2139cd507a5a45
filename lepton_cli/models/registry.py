"""All architectures: a GGUF's `general.architecture`, and the class that reads it.

A family's table names modules instead of importing them: a start imports one architecture.
"""

import importlib

from lepton_cli.models.architectures import (
    dense,
    diffusion,
    encoders,
    gemma,
    glm,
    gpt,
    granite,
    hybrids,
    latent,
    llama,
    local_mixtures,
    mixtures,
    parallel,
    phi,
    qwen,
    recurrent,
)
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.entry import Entry

FAMILIES = (
    *(dense, diffusion, encoders, gemma, glm, gpt, granite, hybrids, latent, llama),
    *(local_mixtures, mixtures, parallel, phi, qwen, recurrent),
)

ARCHITECTURES: dict[str, Entry] = {
    name: entry for family in FAMILIES for name, entry in family.ENTRIES.items()
}
_FOLDERS = {name: family.__name__ for family in FAMILIES for name in family.ENTRIES}


def decoder_class(name: str) -> type[Decoder]:
    """Raises KeyError for a name that is not in the table."""
    module, _, kind = ARCHITECTURES[name].place.partition(":")
    found: type[Decoder] = getattr(importlib.import_module(f"{_FOLDERS[name]}.{module}"), kind)
    return found
