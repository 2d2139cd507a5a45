"""A model in the parts that guessing by its own next-token head needs, each a program."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.adapters import BoundAdapters
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.next_token import NextTokenHead
from ops.backend import Backend, Runner
from ops.interface import Weight
from ops.memory_plan import Limits
from ops.needs import Needs
from ops.program import Program
from ops.runners.chain import ChainedRunner, OutputRunner
from quant.gguf import GGUF

ROWS_PER_GUESS = 1  # the head's own steps end in the logits of one token


@dataclass(frozen=True, slots=True)
class OpenHead:
    """A next-token head that is open: its block, and what computes logits from its rows."""

    block: Runner
    output: OutputRunner

    def reread(self, vectors: Iterable[Weight]) -> None:
        """See Runner."""
        self.block.reread(vectors)
        self.output.reread(vectors)


@dataclass(frozen=True, slots=True)
class Parts:
    """The model up to its last rows, from rows to logits, and the same of the head.

    `head_output` is None where the head's logits are computed by the model's own matrix.
    """

    body: Program
    output: Program
    head: Program
    head_output: Program | None

    @classmethod
    def of(cls, file: GGUF, context: int, adapters: BoundAdapters) -> "Parts | None":
        """None if the model has no head. Raises ModelFileError."""
        decoder = loading.architecture(file)(file, context)
        decoder.directions, head = adapters.directions, NextTokenHead.of(decoder)
        if head is None:
            return None

        def output(of: Decoder | NextTokenHead) -> Program:
            return adapters.recorded(lambda ops: of.logits(ops, ops.given(decoder.width)), file)

        return cls(
            adapters.recorded(decoder.hidden, file, "hidden"),
            output(decoder),
            adapters.recorded(head.hidden, file, "hidden"),
            output(head) if head.has_logits else None,
        )

    def _limited(self, limits: Limits) -> Iterable[tuple[Program, Limits]]:
        """Each part with the limits of its steps; `limits` are those of the whole model."""
        rows = Limits(limits.outputs, limits.outputs)
        yield self.body, replace(limits, outputs=limits.tokens)
        yield self.output, rows
        yield self.head, replace(limits, outputs=ROWS_PER_GUESS)
        if self.head_output is not None:
            yield self.head_output, Limits(ROWS_PER_GUESS, ROWS_PER_GUESS)

    def needs(self, backend: Backend, limits: Limits) -> Needs:
        """The memory of all parts."""
        first, *others = (backend.needs(*each) for each in self._limited(limits))
        return sum(others, first)

    def open(
        self, backend: Backend, whole: Program, limits: Limits
    ) -> tuple[ChainedRunner, OpenHead]:
        """The model, which gives the bytes of `whole`, and its head. Raises LeptonError."""
        width, vocabulary = self.body.output.buffer.width, self.output.output.buffer.width
        body, output, head, *own = (backend.open(*each) for each in self._limited(limits))
        outputs = [OutputRunner(runner, width, vocabulary) for runner in (output, *own)]
        chain = ChainedRunner(body, outputs[0], backend.digest(whole))
        return chain, OpenHead(head, outputs[-1])
