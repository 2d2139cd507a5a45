"""What a model's window takes from the disk before a prompt is read, and leaves there afterwards.

The bytes of K and V depend on the model, the cache's layout, the rope (a longer context stretches
it) and the code that computes them: all of it is in the key, so that a warm start gives the same
answers as a cold one.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.paths import cache_folder
from lepton_cli.engine.positions import Positions, common
from lepton_cli.engine.prefix_store import PrefixStore
from lepton_cli.version import __version__
from ops.cache import CacheLayout
from ops.cpu.objects import host_features
from ops.cpu.rungs import choose_rung
from ops.cpu.shelves import cache_shelf
from ops.interface import BLOCK, Rope

VERSION = "lepton.prefix.1"
WORTH_LOADING = 64
"""Tokens. A block is mapped, checked and copied in 1 ms a MB at most; reading 64 takes 50 ms for
half a billion parameters. A model's identity and a look at the disk take some 20 ms."""
WORTH_KEEPING = 256
"""Tokens that are new. So a question behind a long text that is stored leaves nothing, and a short
prompt neither."""

PACKAGE = Path(__file__).parents[2]
CODE = ("quant", "ops", "lepton_cli/models")  # the folders of what computes K and V


def prefix_folder() -> Path:
    return cache_folder() / "prefixes"


@dataclass(slots=True)
class Prefixes:
    """The store of one open model. `identity` gives its digest, `limit` is for all models."""

    identity: Callable[[], str]
    model: str
    rope: Rope | None
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
                positions.restore(wanted[:count], blocks)

    def keep(self, positions: Positions, count: int | None, least: int) -> str | None:
        """Stores the window's first `count` tokens, or all, if `least` of them are new.

        Returns why they could not be stored, if so.
        """
        ids = positions.ids[:count]
        if len(ids) >= max(least, WORTH_LOADING):
            blocks = positions.saved()[: -(-len(ids) // BLOCK)]
            self._opened(positions.layout).keep(ids, blocks, least)
        return None if self._store is None else self._store.failure

    def _opened(self, layout: CacheLayout) -> PrefixStore:
        if self._store is None:
            key = key_of(self.identity(), layout, self.rope)
            self._store = PrefixStore(self.folder, key, self.model, layout.block_bytes, self.limit)
        return self._store


def key_of(identity: str, layout: CacheLayout, rope: Rope | None) -> bytes:
    """What the bytes of K and V, and so of all answers, depend on beside what is asked."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _parts(identity, layout, rope):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


def _parts(identity: str, layout: CacheLayout, rope: Rope | None) -> Iterator[bytes]:
    kernels = cache_shelf(Path(), choose_rung(host_features(), os.environ)).folder.name
    yield from (text.encode() for text in (VERSION, __version__, identity, repr(layout), kernels))
    yield sys.byteorder.encode()
    if rope is not None:
        yield rope.frequencies.tobytes()
        yield repr((rope.head_width, rope.interleaved, rope.magnitude)).encode()
    yield from (source.read_bytes() for source in sources())


def sources() -> list[Path]:
    """The files that decide what the bytes of K and V are."""
    return [file for folder in CODE for file in sorted((PACKAGE / folder).rglob("*.py"))]
