"""The best draft of each model, as it was measured: one small file for each model.

It is bound to the model's identity, not to its path: a moved model keeps its draft. The draft
model is named by its path, and counts only while the file there has the identity it had.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any, get_args

from lepton_cli.engine.library.identity import model_identity
from lepton_cli.engine.library.paths import private_folder, state_folder, write_private
from lepton_cli.engine.loading.plan import SpecType
from ops.files.own_files import own_file, read_own
from quant.errors import LeptonError, UsageError
from quant.gguf import GGUF

VERSION = 1
MOST_BYTES = 1 << 16
NAME = re.compile(r"[0-9a-f]{64}\.json")


@dataclass(frozen=True, slots=True)
class Pair:
    """A model and what guesses best for it. `draft` None: it needs no other model."""

    identity: str  # of the model
    model: str  # its path when it was measured
    kind: SpecType
    speedup: float
    spread: float
    measured: str  # a date
    draft: str | None = None
    draft_identity: str | None = None


def folder() -> Path:
    return state_folder() / "drafts"


def pair_of(model: GGUF, kind: SpecType, draft: Path | None, speedup: float, spread: float) -> Pair:
    """As measured today. Raises LeptonError for a draft model that is gone by now.

    Links are not followed: where they lead, the parts of a split model have other names.
    """
    found = None if draft is None else GGUF.open(draft)
    return Pair(
        identity=model_identity(model),
        model=str(model.path.absolute()),
        kind=kind,
        speedup=speedup,
        spread=spread,
        measured=time.strftime("%Y-%m-%d"),
        draft=None if found is None else str(found.path.absolute()),
        draft_identity=None if found is None else model_identity(found),
    )


def remember(pair: Pair) -> None:
    """Takes the place of the model's pair so far. Raises UsageError."""
    record = {"version": VERSION, **asdict(pair)}
    path = private_folder(folder()) / f"{pair.identity}.json"
    write_private(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")


def remembered(file: GGUF) -> Pair | None:
    """The pair of a model file. Raises UsageError for a damaged record."""
    return _read(folder() / f"{model_identity(file)}.json")


def remembered_pairs() -> Iterator[Pair]:
    """All of them. Raises UsageError for a damaged record."""
    with suppress(FileNotFoundError):
        for path in sorted(folder().iterdir()):
            pair = _read(path) if NAME.fullmatch(path.name) else None
            if pair is not None:
                yield pair


def forget(pair: Pair) -> None:
    """Raises UsageError."""
    path = folder() / f"{pair.identity}.json"
    try:
        own_file(path).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot remove {path}: {error.strerror}", "remove it yourself") from error


def fault_of(pair: Pair) -> str | None:
    """Why its draft model cannot be used any more."""
    if pair.draft is None:
        return None
    try:
        same = model_identity(GGUF.open(Path(pair.draft))) == pair.draft_identity
    except (LeptonError, OSError):
        return f"the draft model {pair.draft} is gone, or is no model any more"
    return None if same else f"the draft model {pair.draft} has changed since it was measured"


def _read(path: Path) -> Pair | None:
    try:
        data = read_own(own_file(path), MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "measure again") from error
    try:
        return _pair(json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"{path} is no record of a draft that this version can read"
        raise UsageError(message, f"remove it: rm {quote(str(path))}") from error


def _pair(record: Any) -> Pair:
    """Raises ValueError, TypeError, KeyError."""
    if not isinstance(record, dict) or record.pop("version") != VERSION:
        raise ValueError("another version")
    pair = Pair(**record)
    texts = (pair.identity, pair.model, pair.measured, pair.draft or "", pair.draft_identity or "")
    if pair.kind not in get_args(SpecType) or not all(isinstance(text, str) for text in texts):
        raise ValueError("other values")
    return replace(pair, speedup=float(pair.speedup), spread=float(pair.spread))
