"""A process that holds the card: when a step fails in it, a fresh one takes its place.

After some errors CUDA answers nothing but the same error for as long as a process lives, and a
kernel may never end.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.pool import Pool
from typing import Self, TypeVar

T = TypeVar("T")


class CardWorker:
    """Started when first needed; at the end of `with` it is gone."""

    def __init__(self) -> None:
        self._pool: Pool | None = None

    def run(self, work: Callable[[], T], seconds: float) -> T:
        """`work` is a function of a module, or `partial` of one. Raises TimeoutError."""
        if self._pool is None:
            self._pool = multiprocessing.get_context("spawn").Pool(1)
        try:
            return self._pool.apply_async(work).get(seconds)
        except multiprocessing.TimeoutError as error:
            self.close()
            raise TimeoutError(f"no result after {seconds:.0f} s") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the process, whatever it does."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
