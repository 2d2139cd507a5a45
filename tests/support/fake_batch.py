"""A fake model that answers rows out of order, and `lepton batch` with it."""

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest
from fake_model import FakeModel

from lepton_cli.__main__ import run
from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.events import Done, Stats
from quant.errors import ConstraintError, ContextOverflowError


@dataclass
class FakeBatchModel(FakeModel):
    """Answers a few rows at a time, the last of them first; an answer tells prompt and seed.

    `answered` are the prompts in the order in which they ended; `on_outcome` is called before each.
    """

    context_size: int = 400
    arithmetic: str = "x86_64.some"
    answered: list[str] = field(default_factory=list)
    on_outcome: Callable[[int], None] = lambda count: None
    unmet: ConstraintError | None = None  # of every constrained answer

    def batch(
        self,
        requests: Iterable[Request],
        jobs: int | None = None,
        interrupt: threading.Event | None = None,
    ) -> Iterator[Outcome]:
        waiting = iter(requests)
        while group := list(islice(waiting, jobs or 3)):
            for request in reversed(group):
                self.on_outcome(len(self.answered))
                yield self._outcome(request, interrupt)

    def _outcome(self, request: Request, interrupt: threading.Event | None) -> Outcome:
        size, sampling = len(request.ids), request.generation.sampling
        if size >= self.context_size:
            message = f"the prompt has {size} tokens, the context {self.context_size}"
            return Outcome(request.key, error=ContextOverflowError(message))
        stopped = interrupt is not None and interrupt.is_set()
        prompt = bytes(i for i in request.ids if i < 256).decode()
        said = f"{prompt}|{sampling.seed}|{sampling.temperature}|{request.generation.max_tokens}"
        text = hashlib.sha256(said.encode()).hexdigest()[:8]
        self.prompts.append(prompt)
        self.generations.append(request.generation)
        if not stopped:
            self.answered.append(prompt)
        unmet = self.unmet if request.generation.constraint else None
        stats = Stats(size, 0, 0, 2, *[0] * 4)
        done = Done("interrupted" if stopped else "stop", None, (1, 2), stats, unmet)
        return Outcome(request.key, text, done=done)


MANY = [{"id": i, "prompt": f"question {i}"} for i in range(10)]


def batch_command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capture: pytest.CaptureFixture[bytes]
) -> Callable[..., tuple[int, bytes, str]]:
    """Runs `lepton batch` in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(folder)
    (folder / "fake.gguf").write_bytes(b"never read")

    def start(*args: str, model: FakeBatchModel | None = None) -> tuple[int, bytes, str]:
        chosen = model or FakeBatchModel()
        monkeypatch.setattr("lepton_cli.engine.model.open_model", lambda *_: chosen)
        code = run(["batch", "fake.gguf", *args])
        out, err = capture.readouterr()
        return code, out, err.decode()

    return start


def write_rows(folder: Path, *lines: object, name: str = "rows.jsonl") -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / name).write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return name


def records(data: bytes) -> list[dict]:
    return [json.loads(line) for line in data.splitlines()]


class Killed(BaseException):
    """The process ends here."""


def killed_after(count: int) -> FakeBatchModel:
    def strike(so_far: int) -> None:
        if so_far == count:
            raise Killed

    return FakeBatchModel(on_outcome=strike)


def struck_after(*counts: int) -> FakeBatchModel:
    def strike(so_far: int) -> None:
        for _ in range(counts.count(so_far)):
            signal.raise_signal(signal.SIGINT)

    return FakeBatchModel(on_outcome=strike)
