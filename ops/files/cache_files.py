"""Files of a cache, which can be made again: the least recently used ones are removed first."""

import contextlib
from collections.abc import Iterable
from pathlib import Path


def make_room(files: Iterable[Path], limit: int) -> int:
    """Removes files until the rest takes at most `limit` bytes; returns the bytes freed."""
    oldest_first = sorted((*used_and_size(path), path) for path in files)
    surplus, freed = sum(size for _, size, _ in oldest_first) - limit, 0
    for _, size, path in oldest_first:
        if freed >= surplus:
            break
        freed += size * remove(path)
    return freed


def used_and_size(path: Path) -> tuple[float, int]:
    """Time of last use in seconds since 1970, and size in bytes; zeros if it is gone."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        return status.st_mtime, status.st_size
    return 0.0, 0


def remove(path: Path) -> bool:
    """False if another process removed it first, or (on Windows) has the file open."""
    with contextlib.suppress(OSError):
        path.unlink()
        return True
    return False
