"""Sampling settings that a model's author recommends, as defaults."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from lepton_cli.engine.sampling.sampler import Sampling, parse_samplers
from quant.errors import ModelFileError, UsageError
from quant.gguf import Metadata

AUTHOR_KEYS = {  # general.sampling.* -> our name
    "sequence": "samplers",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "temp": "temperature",
    "penalty_last_n": "repeat_last_n",
    "penalty_repeat": "repeat_penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_ent",
    "mirostat_eta": "mirostat_lr",
}


def apply_author_defaults(
    sampling: Sampling, metadata: Metadata, explicit: Collection[str]
) -> Sampling:
    """Applies them, except for fields in `explicit`, which the user set. Raises ModelFileError."""
    for suffix, name in AUTHOR_KEYS.items():
        key = f"general.sampling.{suffix}"
        if key in metadata and name not in explicit:
            try:
                value: Any = _author_value(metadata, key, name)
                sampling = replace(sampling, **{name: value})
            except UsageError as error:
                hint = f"set {name} yourself; the file's value is then ignored"
                raise ModelFileError(f"{metadata.path}: {key}: {error}", hint) from error
    return sampling


def _author_value(metadata: Metadata, key: str, name: str) -> tuple[str, ...] | float:
    default = getattr(Sampling(), name)
    if isinstance(default, tuple):
        return parse_samplers(metadata.string(key))
    if isinstance(default, int):
        return metadata.integer(key)
    return float(str(np.float32(metadata.number(key))))  # 0.95 instead of float32's 0.949999988
