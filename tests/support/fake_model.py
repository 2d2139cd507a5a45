"""A scripted model for tests: the engine's interface without an engine."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lepton_cli.engine.events import Done, Event, FinishReason, Prefill, Reasoning, Stats, Text
from lepton_cli.engine.loading.adapters import AdapterState
from lepton_cli.engine.text.messages import Message, Segment
from quant.errors import ContextOverflowError
from quant.gguf import Metadata

SPECIAL_TEXTS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")

Piece = str | Reasoning
"""A scripted piece of an answer: text or reasoning."""


class FakeTokenizer:
    """One token per byte, then the special tokens."""

    vocab_size = 256 + len(SPECIAL_TEXTS)
    bos: int | None = 256
    eos: int | None = 257
    end_of_generation = frozenset({257, 259})
    adds_bos = True
    adds_eos = False
    special_texts = SPECIAL_TEXTS

    def encode(self, text: str, add_special: bool = True, parse_special: bool = False) -> list[int]:
        return self.encode_segments([Segment(text, trusted=parse_special)], add_special)

    def encode_segments(self, segments: Sequence[Segment], add_special: bool = True) -> list[int]:
        ids = [256] if add_special else []
        for segment in segments:
            ids += self._split(segment.text) if segment.trusted else segment.text.encode()
        return ids

    def _split(self, text: str) -> Iterator[int]:
        for part in re.split("(" + "|".join(map(re.escape, SPECIAL_TEXTS)) + ")", text):
            special = self.token_id(part) if part in SPECIAL_TEXTS else None
            yield from part.encode() if special is None else [special]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, id: int, render_special: bool = False) -> bytes:  # noqa: A002
        if id < 256:
            return bytes([id])
        return SPECIAL_TEXTS[id - 256].encode() if render_special else b""

    def token_text(self, id: int) -> str:  # noqa: A002
        return f"<0x{id:02X}>" if id < 256 else SPECIAL_TEXTS[id - 256]

    def token_type(self, id: int) -> int:  # noqa: A002
        return 6 if id < 256 else 3

    def token_id(self, text: str) -> int | None:
        if text in SPECIAL_TEXTS:
            return 256 + SPECIAL_TEXTS.index(text)
        raw = text.encode()
        return raw[0] if len(raw) == 1 else None


@dataclass
class FakeTemplate:
    """ChatML."""

    name: str = "chatml"
    note: str | None = None
    source: str = "{% for message in messages %}...{% endfor %}"
    from_file: bool = True
    takes_tools: bool = False

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        enable_thinking: bool = True,
        **_: Any,
    ) -> list[Segment]:
        segments = []
        for message in messages:
            segments.append(Segment(f"<|im_start|>{message.role}\n", trusted=True))
            segments.append(Segment(message.content, trusted=False))
            segments.append(Segment("<|im_end|>\n", trusted=True))
        if add_generation_prompt:
            segments.append(Segment("<|im_start|>assistant\n", trusted=True))
        return segments


@dataclass
class FakeAdapters:
    """`rescaled` records the calls."""

    states: tuple[AdapterState, ...] = ()
    rescaled: list[tuple[int, float]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        return {}

    def saved(self) -> list[Any]:
        return [{"path": str(each.path), "scale": each.scale} for each in self.states]

    def rescale(self, number: int, scale: float) -> None:
        self.rescaled.append((number, scale))
        states = list(self.states)
        states[number] = replace(states[number], scale=scale)
        self.states = tuple(states)


@dataclass
class FakeModel:
    """Each call of `stream` plays the next of `answers`; the last one is repeated.

    `prompts` (as text, special tokens shown) and `generations` record the calls. `pause` seconds
    pass before each piece; `failure` is raised after the pieces, as a model might.
    """

    answers: Sequence[Sequence[Piece]] = (("Hello", "!"),)
    context_size: int = 4096
    longest_context: int = 4096
    pause: float = 0.0
    failure: BaseException | None = None
    reason: FinishReason = "stop"
    notes: tuple[str, ...] = ()
    weights: None = None  # nothing is kept on disk
    draft: None = None
    path: Path = Path("fake.gguf")
    name: str = "Fake 260K"
    architecture: str = "llama"
    fingerprint: str = "f1ngerpr1nt"
    parameter_count: int = 260_000
    file_bytes: int = 1_040_000
    trained_context: int = 4096
    has_encoder: bool = False
    backend: str = "reference"
    gpu: str | None = None
    no_gpu: str | None = None
    threads: int = 1
    threads_reason: str = "a fake needs no more"
    metadata: Metadata = field(
        default_factory=lambda: Metadata(Path("fake.gguf"), {"general.architecture": "llama"})
    )
    tokenizer: FakeTokenizer = field(default_factory=FakeTokenizer)
    template: FakeTemplate = field(default_factory=FakeTemplate)
    adapters: FakeAdapters = field(default_factory=FakeAdapters)
    prompts: list[str] = field(default_factory=list)
    generations: list[Any] = field(default_factory=list)
    remembered: list[tuple[int | None, int]] = field(default_factory=list)
    unstored: str | None = None  # why the prompt cache could not store
    identity: str = "the fake's"
    closed: bool = False

    def stream(
        self, ids: Sequence[int], generation: Any, interrupt: threading.Event | None = None
    ) -> Iterator[Event]:
        self.prompts.append(
            b"".join(self.tokenizer.token_bytes(i, render_special=True) for i in ids).decode()
        )
        self.generations.append(generation)
        if len(ids) >= self.context_size:
            raise ContextOverflowError(
                f"prompt has {len(ids)} tokens, the context holds {self.context_size}",
                hint="shorten the prompt, or raise -c",
            )
        answer = self.answers[min(len(self.prompts), len(self.answers)) - 1]
        return self._play(len(ids), answer, generation.max_tokens, interrupt)

    def _play(
        self,
        prompt: int,
        answer: Sequence[Piece],
        limit: int | None,
        interrupt: threading.Event | None,
    ) -> Iterator[Event]:
        yield Prefill(prompt, prompt)
        spoken: list[int] = []
        reason = self.reason
        for count, piece in enumerate(answer):
            time.sleep(self.pause)
            if interrupt is not None and interrupt.is_set():
                reason = "interrupted"
                break
            if limit is not None and count >= limit:
                reason = "length"
                break
            text = piece if isinstance(piece, str) else piece.text
            spoken += text.encode()
            yield Text(text) if isinstance(piece, str) else Reasoning(text)
        if self.failure is not None:
            raise self.failure
        yield Done(reason, None, tuple(spoken), self._stats(prompt, len(spoken)))

    def _stats(self, prompt: int, generated: int) -> Stats:
        return Stats(prompt, 0, 0, generated, 0.25, 0.5, prompt + generated, self.context_size)

    def remember(self, count: int | None = None, least: int = 1) -> str | None:
        self.remembered.append((count, least))
        return self.unstored

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "FakeModel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
