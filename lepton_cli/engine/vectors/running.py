"""Embeds the texts of rows, and passes on each result as it is ready."""

import threading
from collections.abc import Callable, Iterator, Sequence

from lepton_cli.engine.embedding.embeddings import Embeddings
from lepton_cli.engine.jobs.planning import Fingerprint
from lepton_cli.engine.jobs.records import Record
from lepton_cli.engine.jobs.running import Tally
from lepton_cli.engine.vectors.records import failed_record, vector_record
from lepton_cli.engine.vectors.tasks import Recipe, Task
from ops.interface import Interrupted
from quant.errors import LeptonError

SORTED = 512  # texts that are put in order of their lengths, so that similar ones are run together

TakeVector = Callable[[Task, Record], None]


class VectorRun:
    """One run over the texts that are to be embedded.

    Setting `last` starts no more passes; setting `stop` also ends the one that runs.
    """

    def __init__(
        self, model: Embeddings, recipe: Recipe, fingerprint: Fingerprint, tasks: Sequence[Task]
    ) -> None:
        self.tally, self.last, self.stop = Tally(), threading.Event(), threading.Event()
        self._model, self._recipe, self._fingerprint = model, recipe, str(fingerprint)
        self._tasks = tasks
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
        read: list[tuple[Task, list[int], int]] = []  # with the tokens that were cut
        for task in tasks:
            try:
                read.append((task, *self._ids(task)))
            except LeptonError as error:
                take(task, failed_record(task, error, self._fingerprint))
                self.tally.failed += 1
                yield self.tally
        embedder, pooled = self._model.embedder, self._model.embedder.pool.row != "all"
        for vector in embedder.vectors(
            [ids for _, ids, _ in read],
            normalize=self._recipe.normalize,
            at_once=at_once,
            interrupt=self.stop,
        ):
            task, ids, cut = read[vector.number]
            counts = len(ids), cut, self._fingerprint
            take(task, vector_record(task, vector.rows, *counts, pooled=pooled))
            self.tally.answered += 1
            self.cut += cut > 0
            self.tally.generated_tokens += len(ids)
            yield self.tally
            if self.last.is_set():
                raise Interrupted

    def _ids(self, task: Task) -> tuple[list[int], int]:
        """The text's tokens, and how many more it has."""
        if task.error is not None:
            raise task.error
        sequences = self._model.sequences(truncate=self._recipe.truncate)
        whole = self._model.tokenizer().encode(task.text)
        ids = sequences.with_ending(whole)
        return ids, len(whole) - len(ids)
