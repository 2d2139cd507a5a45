"""Downloads one file: in several parts at once, continued where it stopped, checked, atomic."""

import errno
import hashlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits

from lepton_cli.engine.hub.events import Checking, Progress, Remark, Tell
from lepton_cli.engine.hub.part_file import ClosedError, PartFile, Piece, room_needed
from lepton_cli.engine.hub.transport import Response, StatusError, TemporaryError, Transport
from lepton_cli.engine.library.outputs import check_room
from lepton_cli.engine.library.sizes import gigabytes
from quant.errors import LeptonError, ModelFileError
from quant.gguf import GGUF, MAGIC, CutShortError

CONNECTIONS = 4
LEAST_PIECE, LARGEST_PIECE = 1 << 22, 1 << 26  # bytes of one request
READ_BYTES = 1 << 20
TICK = 0.1  # seconds between reports
SAVE_SECONDS = 1.0  # between records of what is on disk
MOST_STARTS = 3
FULL = (errno.ENOSPC, errno.EDQUOT)
PARTIAL, RANGE_NOT_SATISFIABLE = 206, 416
SHA256_DIGITS = 64
ROOM_HINT = (
    "free room, or set HF_HUB_CACHE to a folder on another disk; "
    "the same command then continues where it stopped"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file on a server. `size` None: the server does not say before the end.

    `ranges`: parts can be asked for; `validator`: changes with the file, for addresses whose
    content may; `digest`: 64 digits are the file's sha256, 40 git's sha1.
    """

    name: str
    url: str
    size: int | None
    ranges: bool
    validator: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file before its server is asked."""

    name: str
    url: str
    size: int | None = None
    digest: str | None = None


class ChangedError(LeptonError):
    """The server has another version of the file now, or another opinion on ranges."""


def probe(transport: Transport, expected: Expected) -> Source:
    """Asks the server for the file's first bytes.

    Raises LeptonError, also if the size is not as expected or a .gguf file is not one.
    """

    def source(response: Response) -> Source:
        if expected.name.lower().endswith(".gguf"):
            _check_magic(response, expected.name)
        return _source(response, expected)

    return transport.patiently(expected.url, source, Range=f"bytes=0-{len(MAGIC) - 1}")


def _source(response: Response, expected: Expected) -> Source:
    span = response.span
    size = span[2] if span else response.size
    if expected.size is not None and size not in (None, expected.size):
        message = f"{expected.name}: the server has {size} bytes, the hub says {expected.size}"
        raise LeptonError(message, "try again later: the file is perhaps being replaced")
    digest = expected.digest or _linked_digest(response.linked.get("x-linked-etag", ""))
    validator = None if digest else response.validator
    ranges = span is not None and (digest is not None or validator is not None)
    return Source(expected.name, expected.url, expected.size or size, ranges, validator, digest)


def read_range(transport: Transport, url: str, begin: int, end: int) -> bytes:
    """Bytes of a file, in memory. Raises LeptonError."""

    def read(response: Response) -> bytes:
        if response.status == PARTIAL:
            return response.read_exactly(end - begin)
        return response.read_exactly(end)[begin:]  # a server without ranges

    return transport.patiently(url, read, Range=f"bytes={begin}-{end - 1}")


def _check_magic(response: Response, name: str) -> None:
    if response.read_exactly(len(MAGIC)) != MAGIC:
        message = f"what {response.host} sends as {name} is not a GGUF file"
        raise LeptonError(message, "check the address")


def _linked_digest(tag: str) -> str | None:
    """The sha256 that the hub gives for a file, before it redirects to where the file lies."""
    digest = tag.removeprefix("W/").strip('"').lower()
    return digest if len(digest) == SHA256_DIGITS and not digest.strip(hexdigits) else None


def fetch(
    transport: Transport,
    expected: Expected,
    target: Path,
    tell: Tell,
    *,
    piece_bytes: int | None = None,
) -> Source:
    """Downloads to `target`, which appears when it is whole and as expected.

    What came is kept in a part file on any failure, also Ctrl-C. Raises LeptonError; OSError.
    """
    for start in range(MOST_STARTS):
        source = probe(transport, expected)
        needed = room_needed(target, source.size or 0)
        check_room(target.parent, needed, "downloaded", ROOM_HINT)
        try:
            part = PartFile(
                target,
                source.size,
                source.validator or source.digest,
                resumable=source.ranges,
                checked=source.digest is not None,
                piece_bytes=piece_bytes or _piece_bytes(source.size or 0),
            )
            _Download(transport, source, part, tell).run()
            return source
        except ChangedError as error:
            part.discard()
            if start + 1 == MOST_STARTS:
                raise
            tell(Remark(f"{error.message}; beginning again"))
    raise AssertionError("the last start returns or raises")


def _piece_bytes(size: int) -> int:
    """One for each connection, if they are of a reasonable size."""
    return min(max(-(-size // CONNECTIONS), LEAST_PIECE), LARGEST_PIECE)


class _Download:
    """The threads that fill a part file, and the wait for them."""

    def __init__(self, transport: Transport, source: Source, part: PartFile, tell: Tell) -> None:
        self._transport, self._source, self._part, self._tell = transport, source, part, tell
        self._failure: Exception | None = None

    def run(self) -> None:
        part = self._part
        try:
            self._fill()
            self._check()
            part.finish()
        except OSError as error:
            if error.errno in FULL:
                raise self._full() from error
            raise
        finally:
            part.close()

    def _fill(self) -> None:
        """Until all threads ended, or one failed; records and reports meanwhile."""
        count, saved = min(CONNECTIONS, len(self._part.pieces)), time.monotonic()
        # daemons: one that waits for its server does not keep the program from ending
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            while self._failure is None and (alive := [t for t in threads if t.is_alive()]):
                alive[0].join(TICK)
                self._tell(Progress(self._source.name, self._part.done, self._source.size))
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._part.save()
                    saved = time.monotonic()
        finally:
            self._part.save()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            while self._failure is None and (piece := self._part.take()):
                self._fetch(piece)
        except ClosedError:  # another thread failed, or the user pressed Ctrl-C
            return
        except Exception as error:  # raised again by the thread that waits
            self._failure = self._failure or error

    def _fetch(self, piece: Piece) -> None:
        retries = self._transport.retries()
        while not piece.is_whole:
            self._part.check_open()
            before = piece.begin
            try:
                with self._open(piece) as response:
                    self._read(response, piece)
            except TemporaryError as error:
                if piece.begin > before:
                    retries.progressed()
                if not self._source.ranges:
                    self._part.restart(piece)
                retries.after(error)

    def _open(self, piece: Piece) -> Response:
        source, headers = self._source, dict[str, str]()
        if source.ranges and piece.end is not None:
            headers["Range"] = f"bytes={piece.begin}-{piece.end - 1}"
            if source.validator:
                headers["If_Range"] = source.validator
        try:
            response = self._transport.open(source.url, **headers)
        except StatusError as error:
            if error.status == RANGE_NOT_SATISFIABLE:
                raise _other(source) from error
            raise
        span = response.span
        same = span is not None and (span[0], span[2]) == (piece.begin, source.size)
        if not (same if source.ranges else response.size in (None, source.size)):
            response.close()
            raise _other(source)
        return response

    def _read(self, response: Response, piece: Piece) -> None:
        while not piece.is_whole:
            room = READ_BYTES if piece.end is None else piece.end - piece.begin
            data = response.read(min(READ_BYTES, room))
            if not data and piece.end is not None:
                raise TemporaryError(f"{response.host} closed the connection")
            if not data:
                piece.end = piece.begin
            self._part.write(piece, data)

    def _check(self) -> None:
        """Raises LeptonError if the file is not the one that the hub speaks of; drops it then.

        Where neither a hash nor a length is known, the file's own header must fit to its end.
        """
        source, part = self._source, self._part
        if source.digest is None:
            if source.size is None:
                self._check_end()
            return
        self._tell(Checking(source.name))
        found = file_digest(part.path, source.digest)
        if found != source.digest:
            part.discard()
            message = f"{source.name} arrived damaged: its hash is {found}, not {source.digest}"
            raise LeptonError(message, "run the same command again: it begins from the start")

    def _check_end(self) -> None:
        try:
            GGUF.check_end(self._part.path)
        except CutShortError as error:
            self._part.discard()
            message = f"{self._source.name} arrived cut short"
            raise LeptonError(message, "run the same command again") from error
        except ModelFileError:  # of a kind that Lepton does not know: not cut short
            return

    def _full(self) -> LeptonError:
        part = self._part
        here = f"{gigabytes(part.done)} of {gigabytes(part.size or part.done)}"
        return LeptonError(f"the disk of {part.target.parent} is full: {here} are here", ROOM_HINT)


def file_digest(path: Path, like: str) -> str:
    """The file's digest of the kind that the hub gives: sha256, or git's sha1 of small files."""
    with open(path, "rb") as file:
        if len(like) == SHA256_DIGITS:
            return hashlib.file_digest(file, "sha256").hexdigest()
        size = os.fstat(file.fileno()).st_size
        return hashlib.sha1(b"blob %d\0" % size + file.read(), usedforsecurity=False).hexdigest()


def _other(source: Source) -> LeptonError:
    """The error for an answer with other bytes; a file whose hash is known cannot change."""
    if source.digest is not None:
        return TemporaryError(f"the server does not send the part of {source.name} that it should")
    return ChangedError(f"{source.name} changed on the server", "try again later")
