"""Loads a prompt's prefix from disk into the window before prefill, and stores it afterwards.

The bytes of K and V depend on the file, the operators with their constants (a longer context
changes the rope), the layout and the compiled kernels. All of these are part of the key, so that
answers are the same with and without the cache.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.decoding.window import Window, common_prefix
from lepton_cli.engine.library.paths import cache_folder
from lepton_cli.engine.prefixes.store import PrefixStore
from lepton_cli.version import __version__
from ops.state.layout import StateLayout

VERSION = "lepton.prefix.2"
WORTH_LOADING = 64
"""Tokens. Loading a block takes at most 1 ms per MB; running 64 tokens takes 50 ms with a
0.5B model. The model's identity and the lookup on disk take some 20 ms."""
STORED_CHECKPOINTS = 2
"""Of recurrent layers, beside the first one and the end: each takes 20 MB or more."""
WORTH_STORING = 256
"""New tokens. So a question after a long stored text is not stored, and a short prompt neither."""


def prefix_folder() -> Path:
    return cache_folder() / "prefixes"


@dataclass(slots=True)
class Prefixes:
    """The prompt cache of an open model. `computed_by` names everything that the bytes depend on
    except the layout; `limit` is for all models together."""

    computed_by: Callable[[], str]
    model: str
    limit: int  # bytes
    folder: Path
    _store: PrefixStore | None = None

    def recall(self, window: Window, prompt: Sequence[int]) -> int:
        """Fills the window with a prompt's stored prefix, if it is longer than the present one.

        Without the last token, whose logits are needed. Returns where the prompt parts from what is
        stored (0: not looked up), as other prompts may; recurrent layers may have to begin earlier.
        Raises OutOfMemoryError.
        """
        wanted = list(prompt[:-1])
        least = common_prefix(window.ids, wanted) + WORTH_LOADING
        if len(wanted) < least or not self.folder.exists():
            return 0
        store = self._open_store(window.layout)
        found = store.find(wanted)
        if found.count >= least:
            saved = store.load(found)
            if saved.position >= least:
                window.restore(wanted, saved)
        return found.common

    def store(self, window: Window, count: int | None, least: int) -> str | None:
        """Stores the window's first `count` tokens (or all), if at least `least` are new.

        Returns why they could not be stored, or None.
        """
        ids = window.ids[:count]
        if len(ids) >= max(least, WORTH_LOADING):
            last, *earlier = (window.save(position) for position in _ends(window, len(ids)))
            self._open_store(window.layout).add(ids, last, least, earlier)
        return None if self._store is None else self._store.failure

    def _open_store(self, layout: StateLayout) -> PrefixStore:
        key = key_of(self.computed_by(), layout)
        if self._store is None or self._store.key != key:  # adapters were rescaled meanwhile
            sizes = (layout.block_bytes, layout.slot_bytes)
            self._store = PrefixStore(self.folder, key, self.model, sizes, self.limit)
        return self._store


def _ends(window: Window, count: int) -> list[int]:
    """The prefixes to store of the first `count` tokens, the longest first.

    Recurrent layers go back to checkpoints only: the last ones, as a chat's template may shorten
    the last answer, and the first, behind what all chats have in common.
    """
    earlier = [position for position in window.checkpoints if WORTH_LOADING <= position < count]
    return [count, *sorted({*earlier[:1], *earlier[-STORED_CHECKPOINTS:]}, reverse=True)]


def key_of(computed_by: str, layout: StateLayout) -> bytes:
    """A digest of everything that K and V depend on, apart from the tokens."""
    digest = hashlib.blake2b(digest_size=16)
    for text in (VERSION, __version__, computed_by, repr(layout), sys.byteorder):
        part = text.encode()
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()
