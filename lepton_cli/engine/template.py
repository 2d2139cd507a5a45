"""Chat templates: from messages to a prompt in which only the template's own words are trusted.

The file's own Jinja where it works; where it does not, or there is none, a built-in format that the
vocabulary tells, with a note. What a person wrote stays text whatever it looks like.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from lepton_cli.engine.fallback_templates import BUILT_IN, guess
from lepton_cli.engine.jinja.program import ChatTemplateError, Program
from lepton_cli.engine.jinja.provenance import segments, trusted
from lepton_cli.engine.messages import Message, Segment
from lepton_cli.engine.reasoning import ReasoningFormat, reasoning_format
from quant.errors import UsageError

KEY = "tokenizer.chat_template"
OWN, GIVEN = "the model's own", "the given one"
PROBE = "Zq7 probe"  # words that no template says itself


class Vocabulary(Protocol):
    """What a template must know of a tokenizer."""

    @property
    def bos(self) -> int | None: ...
    @property
    def eos(self) -> int | None: ...
    @property
    def adds_bos(self) -> bool: ...
    @property
    def adds_eos(self) -> bool: ...
    @property
    def special_texts(self) -> Sequence[str]: ...
    def token_text(self, id: int) -> str: ...  # noqa: A002


class ChatTemplate:
    """A template that is known to render a plain question. Raises ChatTemplateError otherwise."""

    def __init__(
        self,
        name: str,
        source: str,
        vocabulary: Vocabulary,
        *,
        from_file: bool = False,
        note: str | None = None,
    ) -> None:
        """`from_file`: the model's file has a template, even if it is not this one."""
        self.name, self.source, self.from_file, self.note = name, source, from_file, note
        self._program = Program(source)
        self._bos = _text(vocabulary, vocabulary.bos)
        self._eos = _text(vocabulary, vocabulary.eos)
        self._adds_bos, self._adds_eos = vocabulary.adds_bos, vocabulary.adds_eos
        opening = "".join(part.text for part in self.render([Message("user", PROBE)]))
        self.reasoning: ReasoningFormat | None = reasoning_format(source + opening)
        self._takes_system = self._renders_system()

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        enable_thinking: bool = True,
        continue_last: bool = False,
        variables: Mapping[str, object] | None = None,
    ) -> list[Segment]:
        """The prompt, without a BOS or EOS that the tokenizer will add.

        `continue_last` leaves the last message, an answer, open: what the model has said of it so
        far follows the generation prompt. `variables` are for the template (llama.cpp's
        --chat-template-kwargs). Raises ChatTemplateError when the template refuses the messages.
        """
        partial = None
        if continue_last:
            *messages, partial = messages
            if partial.role != "assistant":
                raise UsageError("the last message is no answer to continue", "use /retry")
        turns = messages if self._takes_system else _merge_system(messages)
        ours = {
            "messages": [_as_mapping(turn) for turn in turns],
            "bos_token": trusted(self._bos),
            "eos_token": trusted(self._eos),
            "enable_thinking": enable_thinking,
            "thinking": enable_thinking,  # DeepSeek's and Granite's name of it
            **_dates(),
            **({"add_generation_prompt": True} if add_generation_prompt or partial else {}),
        }
        given = sum(len(turn.content) + len(turn.reasoning or "") for turn in turns)
        text = self._program.run({**ours, **(variables or {})}, given)
        prompt = self._without_doubles(segments(text))
        return prompt if partial is None else [*prompt, *self._resumed(prompt, partial)]
