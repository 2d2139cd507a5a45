"""Embeds the texts of rows, and passes on each result as it is ready."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lepton_cli.engine.embedding.embeddings import Embeddings
from lepton_cli.engine.embedding.pooling import Rows
from lepton_cli.engine.jobs.planning import Fingerprint
from lepton_cli.engine.jobs.records import Record, openai_record
from lepton_cli.engine.jobs.running import Tally
from lepton_cli.engine.vectors.records import failed_record, vector_record
from lepton_cli.engine.vectors.requests import response_body
from lepton_cli.engine.vectors.tasks import Recipe, Task
from ops.interface import Interrupted
from quant.errors import LeptonError, UsageError

SORTED = 512  # texts that are put in order of their lengths, so that similar ones are run together

TakeVector = Callable[[Task, Record], None]


class VectorRun:
    """One run over the texts that are to be embedded.

    Setting `last` starts no more passes; setting `stop` also ends the one that runs.
    """

    def __init__(
        self,
        model: Embeddings,
        recipe: Recipe,
        fingerprint: Fingerprint,
        tasks: Sequence[Task],
        name: str,
    ) -> None:
        """`name`: of the model, in responses to OpenAI requests."""
        self.tally, self.last, self.stop = Tally(), threading.Event(), threading.Event()
        self._model, self._recipe, self._fingerprint = model, recipe, str(fingerprint)
        self._tasks, self._name = tasks, name
        self.cut = 0  # texts that were longer than the context

    def results(self, at_once: int | None, take: TakeVector) -> Iterator[Tally]:
        """Yields the tally after each result; texts that were not embedded are not recorded."""
        for start in range(0, len(self._tasks), SORTED):
            try:
                yield from self._some(self._tasks[start : start + SORTED], at_once, take)
            except Interrupted:
                return

    def _some(
        self, tasks: Sequence[Task], at_once: int | None, take: TakeVector
    ) -> Iterator[Tally]:
        read: list[tuple[Reading, int]] = []  # and which text it is
        for task in tasks:
            try:
                reading = self._read(task)
            except LeptonError as error:
                take(task, failed_record(task, error, self._fingerprint))
                self.tally.failed += 1
                yield self.tally
            else:
                read += [(reading, place) for place in range(len(reading.ids))]
        embedder, pooled = self._model.embedder, self._model.embedder.pool.row != "all"
        for vector in embedder.vectors(
            [reading.ids[place] for reading, place in read],
            normalize=self._recipe.normalize,
            at_once=at_once,
            interrupt=self.stop,
        ):
            reading, place = read[vector.number]
            reading.vectors[place] = vector.rows
            if len(reading.vectors) < len(reading.ids):
                continue
            take(reading.task, self._record(reading, pooled=pooled))
            self.tally.answered += 1
            self.cut += sum(cut > 0 for cut in reading.cut)
            self.tally.generated_tokens += reading.tokens
            yield self.tally
            if self.last.is_set():
                raise Interrupted

    def _record(self, reading: "Reading", *, pooled: bool) -> Record:
        task, vectors = reading.task, [reading.vectors[n] for n in sorted(reading.vectors)]
        if task.encoding is None:
            counts = reading.tokens, reading.cut[0], self._fingerprint
            return vector_record(task, vectors[0], *counts, pooled=pooled)
        own: Record = {"row": task.row, "key": task.key, "fingerprint": self._fingerprint}
        body = response_body(vectors, reading.tokens, task.encoding, self._name)
        return openai_record(task.id, 200, body, None, own)

    def _read(self, task: Task) -> "Reading":
        if task.error is not None:
            raise task.error
        if task.encoding and self._model.embedder.pool.row == "all":
            raise UsageError("the model has no pooling: a text has many vectors", "add --pooling")
        sequences = self._model.sequences(truncate=self._recipe.truncate)
        whole = [self._model.tokenizer().encode(text) for text in task.texts]
        ids = [sequences.with_ending(each) for each in whole]
        cut = [len(each) - len(kept) for each, kept in zip(whole, ids, strict=True)]
        return Reading(task, ids, cut)


@dataclass(slots=True)
class Reading:
    """A row's tokens, how many more each of its texts has, and the vectors that are ready."""

    task: Task
    ids: list[list[int]]
    cut: list[int]
    vectors: dict[int, Rows] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.ids))
