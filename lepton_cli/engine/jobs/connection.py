"""The connection to a Dask scheduler, which reconnects when it is lost."""

import asyncio
import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError

from distributed import Client, rpc

from quant.errors import UsageError

ADDRESS = re.compile(
    r"((?:tcp|tls|ws|wss|ucx)://)?[^\s/:]+:\d{1,5}|tcp://\[[0-9a-fA-F:]+\]:\d{1,5}"
)
CONNECTING, CONNECTING_AGAIN = 5.0, 1.0  # seconds
OPEN = 600.0  # seconds that Dask tries to reconnect before it closes a client by itself
FAILURES = (OSError, ValueError, RuntimeError, CancelledError)  # raised by Dask if nobody answers
START = "start it with `dask scheduler`, and `dask worker ADDRESS` on each machine"


class Connection:
    """A connection. After a reconnect `client` is a new object, and earlier tasks are lost."""

    def __init__(self, address: str) -> None:
        """Raises UsageError if no Dask scheduler answers."""
        if not ADDRESS.fullmatch(address):
            raise UsageError(f"--cluster {address!r} is not an address", "e.g. tcp://host:8786")
        self.address = address
        try:
            self.client = _connect(address, CONNECTING)
        except FAILURES as error:
            message = f"there is no Dask cluster at {address} ({one_line(error)})"
            raise UsageError(message, START) from error

    def workers(self) -> list[str] | None:
        """The addresses of workers that accept tasks.

        None if the connection is lost, with all tasks submitted before; the next call reconnects.
        Raises UsageError if another kind of Dask process has the address now.
        """
        client, scheduler = self.client, self.client.scheduler
        try:
            if scheduler is not None and client.status == "running":
                running = client.sync(scheduler.ncores_running, callback_timeout=CONNECTING)
                return sorted(running)
            self.close()
            self.client = _connect(self.address, CONNECTING_AGAIN)
        except FAILURES:
            self.close()
        return None

    def close(self) -> None:
        with contextlib.suppress(OSError, CancelledError):
            self.client.close(timeout=CONNECTING)


def one_line(error: object) -> str:
    return " ".join((type(error).__name__, *str(error).split()))[:200]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences Dask's logs and warnings; what matters becomes an error of Lepton."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _connect(address: str, seconds: float) -> Client:
    """Raises one of FAILURES; UsageError for a worker's address."""
    kind = asyncio.run(asyncio.wait_for(_kind(address), seconds))
    if kind != "Scheduler":
        raise UsageError(f"at {address} is a {kind}, not a scheduler", START)
    return Client(address, timeout=OPEN, set_as_default=False, name="lepton-batch")


async def _kind(address: str) -> object:
    """The type of the Dask process there. (A client would wait forever for another program.)"""
    async with rpc(address) as remote:
        return (await remote.identity()).get("type")
