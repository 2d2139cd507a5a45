"""One GPU's primary context: checks every driver call and remembers a lost card."""

import contextlib
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from cuda.bindings import driver as cuda

from ops.cuda.device.failures import DRIVER_HINT, LOSSES, NO_ROOM, failure, no_driver, no_room
from quant.errors import LeptonError, UsageError

RELOAD_HINT = "load it again"


class Card:
    """`with card:` makes the context the calling thread's; one thread at a time is inside.

    Raises UsageError after `close` and in a forked child, and the same LeptonError again and again
    once the card is lost. The context is set each time, as calls of other libraries change it.
    """

    def __init__(self, index: int) -> None:
        """`index` counts the cards that CUDA_VISIBLE_DEVICES leaves, from 0."""
        self._process, self._closed = os.getpid(), False
        self._lost: tuple[str, str | None] | None = None  # message and hint
        self._lock = threading.RLock()
        self.call("start CUDA", cuda.cuInit, 0)
        count = self.call("count the GPUs", cuda.cuDeviceGetCount)
        if not count:
            raise failure("CUDA_ERROR_NO_DEVICE", "open a GPU")
        if not 0 <= index < count:
            raise UsageError(f"there is no GPU {index}", f"choose one of 0 to {count - 1}")
        self.device = self.call(f"find GPU {index}", cuda.cuDeviceGet, index)
        self._context = self.call(f"open GPU {index}", cuda.cuDevicePrimaryCtxRetain, self.device)

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            raise UsageError("the model belongs to another process", RELOAD_HINT)
        self._lock.acquire()
        try:
            if self._closed:
                raise UsageError("the model is closed", RELOAD_HINT)
            if self._lost:
                raise LeptonError(*self._lost)
            self.call("choose the GPU", cuda.cuCtxSetCurrent, self._context)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    @property
    def ended(self) -> bool:
        """Lost or closed: there is nothing left to free."""
        return self._closed or self._lost is not None

    def call(self, doing: str, function: Callable[..., Any], *operands: Any) -> Any:
        """What the driver's function returns: None, one value, or a tuple.

        Raises OutOfMemoryError, or LeptonError "could not `doing`".
        """
        try:
            result = function(*operands)
        except RuntimeError as error:  # what cuda-bindings raises for a library or a function
            raise no_driver(str(error), doing) from error
        except (KeyError, ValueError) as error:  # a number that this cuda-bindings does not know
            raise LeptonError(f"the GPU could not {doing} ({error})", DRIVER_HINT) from error
        if result[0]:
            raise self._failed(result[0].name, doing)
        return result[1] if len(result) == 2 else result[1:] or None

    def quietly(self, function: Callable[..., Any], *operands: Any) -> None:
        """For clean-up: ignores errors, except that it remembers a lost card."""
        with contextlib.suppress(LeptonError):
            self.call("give memory back", function, *operands)

    def _failed(self, name: str, doing: str) -> LeptonError:
        if name == NO_ROOM:
            error, free, total = cuda.cuMemGetInfo()
            return no_room(doing, None if error else (int(free), int(total)))
        lost = failure(name, doing)
        if name in LOSSES and not self._lost:
            self._lost = lost.message, lost.hint
        return lost

    def close(self) -> None:
        """Releases the context; may be called again, and does nothing in a forked child."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if not self._closed:
                self._closed = True
                self.quietly(cuda.cuCtxSetCurrent, None)
                self.quietly(cuda.cuDevicePrimaryCtxRelease, self.device)
