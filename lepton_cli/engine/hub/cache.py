"""Hugging Face's cache on disk: blobs by their hash, named by links in a snapshot of a commit.

    models--user--repo/blobs/<hash>
                       refs/<revision>             holds a commit
                       snapshots/<commit>/<file>   -> ../../blobs/<hash>

Locks are those of huggingface_hub, so that neither program writes what the other is writing.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_cli.engine.hub.events import Remark, Tell
from ops.files.own_files import open_file
from ops.files.whole_files import replace_file

if sys.platform != "win32":
    import fcntl

LOCKS = ".locks"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class RepositoryCache:
    """A repository's folder in the cache at `root`; made when something is stored."""

    def __init__(self, root: Path, repo: str) -> None:
        self.root = root
        self._name = "models--" + repo.replace("/", "--")
        self.folder = root / self._name
        self.blobs = self.folder / "blobs"

    def blob(self, digest: str) -> Path:
        return self.blobs / digest

    def file(self, commit: str, path: str) -> Path:
        """Where a file of a commit is found."""
        return self.folder / "snapshots" / commit / path

    @contextmanager
    def locked(self, digest: str, name: str, tell: Tell) -> Iterator[None]:
        with lock(self.root / LOCKS / self._name / f"{digest}.lock", name, tell):
            yield

    def link(self, commit: str, path: str, digest: str) -> Path:
        """Names a blob in a snapshot; where links are not possible, the blob itself moves there."""
        file, blob = self.file(commit, path), self.blob(digest)
        if not blob.exists() or (file.exists() and file.samefile(blob)):
            return file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        try:
            file.symlink_to(os.path.relpath(blob, file.parent))
        except FileExistsError:  # another process, which pulls the same, was faster
            return file
        except OSError:  # Windows allows links only to some users
            blob.replace(file)
        return file

    def set_ref(self, revision: str, commit: str) -> None:
        """Records which commit a branch or tag is at."""
        if revision != commit:
            file = self.folder / "refs" / revision
            file.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(file) as stream:
                stream.write(commit.encode())


@contextmanager
def lock(path: Path, name: str, tell: Tell) -> Iterator[None]:
    """Waits until no other process holds the lock.

    On Windows and network file systems without locks it does nothing.
    """
    if sys.platform == "win32":
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = open_file(path, os.O_RDWR | os.O_CREAT, 0o664)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(Remark(f"another program is downloading {name}: waiting for it"))
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)
