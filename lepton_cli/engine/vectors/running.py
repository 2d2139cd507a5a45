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
from lepton_cli.models.pooling import Pool
from ops.interface import Interrupted
from quant.errors import LeptonError, UsageError

SORTED = 512  # texts that are put in order of their lengths, so that similar ones are run together

TakeVector = Callable[[Task, Record], None]


class VectorRun:
    """One run over the texts that are to be embedded.

    Setting `last` starts no more rows; setting `stop` also ends those in progress.
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
        """Yields the tally after each change. Rows interrupted by `stop` are not recorded."""
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
            if self.last.is_set():
                return
            try:
                reading = self._read(task)
            except LeptonError as error:
                self.tally.started += 1
                yield self._fail(task, error, take)
            else:
                read += [(reading, place) for place in range(len(reading.ids))]
        embedder = self._model.embedder
        for numbers in embedder.batches([reading.ids[place] for reading, place in read], at_once):
            batch = self._started([read[number] for number in numbers])
            if not batch:
                continue
            found = embedder.run([reading.ids[place] for reading, place in batch], self.stop)
            for (reading, place), rows in zip(batch, found, strict=True):
                reading.rows[place] = rows
                if len(reading.rows) == len(reading.ids):
                    yield self._end(reading, take)

    def _started(self, batch: Sequence[tuple["Reading", int]]) -> list[tuple["Reading", int]]:
        """The texts of a pass; when no more rows are to start, only of those that have begun."""
        if self.last.is_set():
            return [each for each in batch if each[0].started]
        for reading, _ in batch:
            self.tally.started += not reading.started
            reading.started = True
        return list(batch)

    def _end(self, reading: "Reading", take: TakeVector) -> Tally:
        """Records a row whose texts have all been run."""
        try:
            record = self._record(reading)
        except LeptonError as error:
            return self._fail(reading.task, error, take)
        take(reading.task, record)
        self.tally.answered += 1
        self.cut += sum(cut > 0 for cut in reading.cut)
        self.tally.generated_tokens += reading.tokens
        return self.tally

    def _fail(self, task: Task, error: LeptonError, take: TakeVector) -> Tally:
        take(task, failed_record(task, error, self._fingerprint))
        self.tally.failed += 1
        return self.tally

    def _record(self, reading: "Reading") -> Record:
        """Raises LeptonError if a text has no usable vector."""
        task = reading.task
        vectors = [task.form.of(reading.rows[place]) for place in range(len(reading.ids))]
        if task.encoding is None:
            counts, pooled = (reading.tokens, reading.cut[0]), self._pool.row != "all"
            return vector_record(task, vectors[0], *counts, self._fingerprint, pooled=pooled)
        own: Record = {"row": task.row, "key": task.key, "fingerprint": self._fingerprint}
        body = response_body(vectors, reading.tokens, task.encoding, self._name)
        return openai_record(task.id, 200, body, None, own)

    def _read(self, task: Task) -> "Reading":
        if task.error is not None:
            raise task.error
        if task.encoding and self._pool.row == "all":
            raise UsageError("the model has no pooling: a text has many vectors", "add --pooling")
        task.form.width(self._model.embedder.width)
        sequences = self._model.sequences(truncate=self._recipe.truncate)
        read = [sequences.cut(text) for text in task.texts]
        return Reading(task, [ids for ids, _ in read], [cut for _, cut in read])

    @property
    def _pool(self) -> Pool:
        return self._model.embedder.pool


@dataclass(slots=True)
class Reading:
    """A row's tokens, how many more each of its texts has, and the rows of those that were run."""

    task: Task
    ids: list[list[int]]
    cut: list[int]
    started: bool = False
    rows: dict[int, Rows] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.ids))
