"""What a model reads of texts: token ids that fit into its context."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lepton_cli.engine.decoding.generation import check_ids
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.text.messages import Segment
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import ContextOverflowError, UsageError

PLACES = re.compile(r"(\{query\}|\{document\})")


@dataclass(frozen=True, slots=True)
class Sequences:
    """Makes sequences of at most `most` tokens; longer ones are refused, or cut if `truncate`.

    `longest`: the most that a larger context could give.
    """

    read_tokenizer: Callable[[], Tokenizer]  # ids need none
    most: int
    longest: int
    vocabulary: int
    truncate: bool = False

    @property
    def tokenizer(self) -> Tokenizer:
        return self.read_tokenizer()

    def of(self, text_or_ids: str | Sequence[int]) -> list[int]:
        """A text with the model's tokens around it, of which the last is never cut; or given ids.

        Raises UsageError, ContextOverflowError.
        """
        return self.cut(text_or_ids)[0]

    def cut(self, text_or_ids: str | Sequence[int]) -> tuple[list[int], int]:
        """Like `of`, and how many tokens were cut."""
        if isinstance(text_or_ids, str):
            ids: Sequence[int] = self.tokenizer.encode(text_or_ids)
            end = len(ids) - self.tokenizer.adds_eos
        else:
            check_ids(ids := text_or_ids, self.vocabulary)
            end = len(ids)
        kept = self.fitted(ids[:end], ids[end:])
        return kept, len(ids) - len(kept)

    def of_pair(self, query: str, document: str, template: str | None) -> list[int]:
        """A query and a document to be judged; what is cut is the document. Raises as `of`."""
        if template is not None:
            return self._filled(query, document, template)
        first, second, ending = self.tokenizer.encode_pair(query, document)
        if second and len(first) + len(ending) >= self.most:
            raise self._too_long(len(first) + len(ending), "query leaves no room for a text: it")
        return self.fitted([*first, *second], ending)

    def _filled(self, query: str, document: str, template: str) -> list[int]:
        """Only the template's own text may become special tokens."""
        values = {"{query}": query, "{document}": document}
        parts = [
            Segment(values.get(part, part), trusted=part not in values)
            for part in PLACES.split(template)
        ]
        ids = self.tokenizer.encode_segments(parts, add_special=False)
        if len(ids) <= self.most:
            return ids
        if not (self.truncate and document):
            raise self._too_long(len(ids), "text" if document else "query, with no text,")
        return self._filled(query, document[: len(document) * self.most // len(ids)], template)

    def fitted(self, ids: Sequence[int], ending: Sequence[int] = ()) -> list[int]:
        """Where they do not fit, without the last of `ids`, but with the ending."""
        whole = [*ids, *ending]
        if not whole:
            raise UsageError("the text is empty", "leave it out: it has no vector")
        if len(whole) <= self.most:
            return whole
        if not self.truncate:
            raise self._too_long(len(whole), "text")
        return [*ids[: self.most - len(ending)], *ending]

    def _too_long(self, tokens: int, what: str) -> ContextOverflowError:
        message = f"the {what} has {counted(tokens, 'token')}, the model reads {self.most}"
        larger = f"; -c {tokens} reads all of it" if tokens <= self.longest else ""
        return ContextOverflowError(message, f"cut it with --truncate{larger}")
