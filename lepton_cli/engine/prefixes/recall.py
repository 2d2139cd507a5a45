"""What a model's window takes from the disk before a prompt is read, and leaves there afterwards.

The bytes of K and V depend on the file, on the operators that run with their constants (a longer
context stretches the rope), on the layout, and on the compiled kernels: all of it is in the key, so
that a warm start gives the same answers as a cold one.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.decoding.window import Positions, common
from lepton_cli.engine.library.paths import cache_folder
from lepton_cli.engine.prefixes.store import PrefixStore
from lepton_cli.version import __version__
from ops.interface import BLOCK
from ops.state.layout import StateLayout
from ops.state.sequence import SavedState

VERSION = "lepton.prefix.2"
WORTH_LOADING = 64
"""Tokens. A block is mapped, checked and copied in 1 ms a MB at most; reading 64 takes 50 ms for
half a billion parameters. A model's identity and a look at the disk take some 20 ms."""
WORTH_KEEPING = 256
"""Tokens that are new. So a question behind a long text that is stored leaves nothing, and a short
prompt neither."""


def prefix_folder() -> Path:
    return cache_folder() / "prefixes"


@dataclass(slots=True)
class Prefixes:
    """The store of one open model. `computed_by` names all that the bytes depend on but the layout;
    `limit` is for all models."""

    computed_by: Callable[[], str]
    model: str
    limit: int  # bytes
    folder: Path
    _store: PrefixStore | None = None

    def recall(self, positions: Positions, prompt: Sequence[int]) -> None:
        """Fills the window with the beginning of a prompt, where more of it is stored than there.

        The last token is left out, as its logits are wanted. Raises OutOfMemoryError.
        """
        wanted = list(prompt[:-1])
        least = common(positions.ids, wanted) + WORTH_LOADING
        if len(wanted) < least or not self.folder.exists():
            return
        store = self._opened(positions.layout)
        found = store.find(wanted)
        if found.count >= least:
            blocks = store.load(found)
            count = min(found.count, BLOCK * len(blocks))
            if count >= least:
                positions.restore(wanted, SavedState(count, blocks, None))

    def keep(self, positions: Positions, count: int | None, least: int) -> str | None:
        """Stores the window's first `count` tokens, or all, if `least` of them are new.

        Returns why they could not be stored, if so.
        """
        ids = positions.ids[:count]
        if len(ids) >= max(least, WORTH_LOADING):
            saved = positions.save(len(ids))
            self._opened(positions.layout).keep(ids[: saved.position], saved.blocks, least)
        return None if self._store is None else self._store.failure

    def _opened(self, layout: StateLayout) -> PrefixStore:
        if self._store is None:
            key = key_of(self.computed_by(), layout)
            self._store = PrefixStore(self.folder, key, self.model, layout.block_bytes, self.limit)
        return self._store


def key_of(computed_by: str, layout: StateLayout) -> bytes:
    """What the bytes of K and V, and so of all answers, depend on beside what is asked."""
    digest = hashlib.blake2b(digest_size=16)
    for text in (VERSION, __version__, computed_by, repr(layout), sys.byteorder):
        part = text.encode()
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()
