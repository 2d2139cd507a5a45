"""The tokens of an answer's reasoning: counted, and closed when their budget is spent."""

from collections import deque
from collections.abc import Sequence

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.text.streaming import (
    THINK,
    ReasoningFormat,
    ReasoningSplitter,
    Utf8Stream,
    begins_in_thought,
    reasoning_token_ids,
)
from lepton_cli.engine.text.tokenizer import Tokenizer


class Thoughts:
    """Follows the tokens of one answer; `count` are those drawn while its reasoning was open.

    So the tag that opens it is not counted, the one that closes it is. Its splitter is
    its own, since stop strings hold text back. `rendered`: the special tokens shown as text;
    `begun`: the prompt ends inside reasoning.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        reasoning: ReasoningFormat | None,
        prompt: Sequence[int],
        generation: Generation,
    ) -> None:
        self.count = 0
        self._tokenizer, self._format = tokenizer, reasoning or THINK
        self.rendered = reasoning_token_ids(tokenizer, reasoning)
        self.begun = begins_in_thought(tokenizer, reasoning, prompt)
        self._characters = Utf8Stream()
        self._splitter = ReasoningSplitter(reasoning, in_thought=self.begun)
        self._budget = generation.reasoning_budget
        self._message = generation.reasoning_budget_message
        self._is_free_form = generation.constraint is None
        self._forced = deque[int]()

    @property
    def over(self) -> bool:
        """Whether no reasoning can follow."""
        return not self._forced and self._splitter.is_answering

    @property
    def bounded(self) -> bool:
        """Whether a token may yet be forced."""
        return self._budget >= 0 and not self.over

    @property
    def forced(self) -> int | None:
        """The token that has to be next, since the budget is spent; otherwise None.

        A character that is incomplete is completed first.
        """
        spent = 0 <= self._budget <= self.count
        if spent and not self._forced and self._splitter.in_thought and self._characters.is_whole:
            self._forced.extend(self._closing())
        return self._forced[0] if self._forced else None

    def accept(self, token: int) -> None:
        """Takes a token of the answer, forced or drawn."""
        if self._forced and token == self._forced[0]:
            self._forced.popleft()
        if self.over:
            return
        self.count += self._splitter.in_thought
        data = self._tokenizer.token_bytes(token, render_special=token in self.rendered)
        self._splitter.feed(self._characters.feed(data))

    def _closing(self) -> list[int]:
        """The message, which is text, and what the model writes between reasoning and answer.

        In front of an answer in a required form the line breaks are left to the form.
        """
        message, self._message = self._message, ""
        closing = self._format.closing
        end = closing if self._is_free_form else closing.rstrip("\n")
        encode = self._tokenizer.encode
        ids = encode(message, add_special=False, parse_special=False) if message else []
        return [*ids, *encode(end, add_special=False, parse_special=True)]
