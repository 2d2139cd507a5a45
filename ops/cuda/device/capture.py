"""Launches captured as a CUDA graph: one call replays them all."""

import contextlib
from collections.abc import Callable
from typing import Any

from cuda.bindings import driver as cuda

from ops.cuda.device.card import Card
from quant.errors import LeptonError


class CapturedGraph:
    """Replays on the stream that it was captured from. `Driver.close` closes it too."""

    def __init__(self, card: Card, stream: Any, executable: Any) -> None:
        self._card, self._stream, self._executable = card, stream, executable
        self.closed = False

    def replay(self) -> None:
        with self._card:
            assert not self.closed, "a closed graph is replayed"
            self._card.call("replay a graph", cuda.cuGraphLaunch, self._executable, self._stream)

    def close(self) -> None:
        """Waits for what is enqueued; may be called again, and after the driver's `close`."""
        with (
            contextlib.suppress(LeptonError),
            self._card,
        ):  # lost or closed: everything is already freed
            if not self.closed:
                self.closed = True
                self._card.quietly(cuda.cuStreamSynchronize, self._stream)
                self._card.quietly(cuda.cuGraphExecDestroy, self._executable)


def capture(card: Card, stream: Any, enqueue: Callable[[], None]) -> CapturedGraph:
    """Captures what `enqueue` puts on the stream, without running it. The caller holds `card`.

    The thread-local mode leaves other threads of the process (other cards, torch) undisturbed.
    """
    mode = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    card.call("begin a capture", cuda.cuStreamBeginCapture, stream, mode)
    try:
        enqueue()
    except BaseException:
        _abandon(card, stream)
        raise
    graph = card.call("end a capture", cuda.cuStreamEndCapture, stream)
    try:
        executable = card.call("build a graph", cuda.cuGraphInstantiate, graph, 0)
    finally:
        card.quietly(cuda.cuGraphDestroy, graph)
    return CapturedGraph(card, stream, executable)


def _abandon(card: Card, stream: Any) -> None:
    """Ends a failed capture, so that the stream is usable again."""
    with contextlib.suppress(LeptonError):
        graph = card.call("end a capture", cuda.cuStreamEndCapture, stream)
        card.quietly(cuda.cuGraphDestroy, graph)
