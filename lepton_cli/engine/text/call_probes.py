"""What a template writes for calls of a probe, from which the form of its calls is learned."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile

from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.jinja.program import ChatTemplateError
from lepton_cli.engine.text.messages import Message, ToolCall
from lepton_cli.engine.text.template import CALL_PROBE, TOOL_PROBE, ChatTemplate

NAME, KEY, VALUE, MORE, NUMBER = CALL_PROBE.name, "zq7key", "zq7value", "zq7more", 70707
INNER, OTHER, TEXTS = "zq7inner", "zq7other", ("zq7first", "zq7second")
MARKUP = "zq7<b>&\nvalue"
NESTED: Plain = {INNER: TEXTS[0], OTHER: [TEXTS[1]]}
IDS = (CALL_PROBE.id, f"functions.{NAME}:0")  # some templates write the name in the id only
WORD, WORDS = r"[\w.\-]+?", "Zq7 words"


class CallWriter:
    """Writes calls of the probe as a template does, all with one id."""

    def __init__(self, template: ChatTemplate, call_id: str) -> None:
        self._template, self._id = template, call_id

    def tried(self, *calls: Mapping[str, Plain]) -> str:
        """What it writes for an answer with calls that have these arguments; "" if it refuses."""
        try:
            return self._written(*calls)
        except ChatTemplateError:
            return ""

    def _written(self, *calls: Mapping[str, Plain]) -> str:
        called = self._called(calls)
        begin = len(common_beginning(self._shown(), called))
        for end in self._template.reasoning.thought_end if self._template.reasoning else ():
            begin = max(begin, called.rfind(end) + len(end))
        turn_end = self._shown(Message("assistant", WORDS)).rpartition(WORDS)[2]
        return called[begin:].lstrip("\n").removesuffix(turn_end)

    def _called(self, calls: Sequence[Mapping[str, Plain]]) -> str:
        made = tuple(ToolCall(self._id, NAME, json.dumps(arguments)) for arguments in calls)
        return self._shown(Message("assistant", "", calls=made))

    def follows_prompt(self) -> bool:
        """Whether calls are written behind a prompt, or behind its tags of reasoning."""
        reasoning, prompt = self._template.reasoning, self._shown().rstrip()
        while tag := next(filter(prompt.endswith, reasoning.tags if reasoning else ()), None):
            prompt = prompt.removesuffix(tag).rstrip()
        return self._called([{KEY: VALUE}]).startswith(prompt)

    def _shown(self, *answer: Message) -> str:
        prompt = self._template.render(
            [Message("user", "Zq7"), *answer],
            variables={"tools": [TOOL_PROBE]},
            add_generation_prompt=not answer,
        )
        return "".join(segment.text for segment in prompt)


def probe(template: ChatTemplate) -> tuple[CallWriter, str, str] | None:
    """What it writes for one call with a text, and for two; None if it writes no calls."""
    for call_id in IDS:
        writer = CallWriter(template, call_id)
        one = writer.tried({KEY: VALUE})
        if NAME in one:
            return writer, one, writer.tried({KEY: VALUE}, {KEY: VALUE})
    return None


def marker(one: str, several: str, named: int) -> tuple[str, str]:
    """What begins all calls, and what begins each; `named`: where the name is in `one`."""
    before, count = one[:named], one.count(NAME)
    places = [found.start() for found in re.finditer(NAME, several)]
    if len(places) < 2 * count:
        return before, before
    begin = common_end(before, several[: places[count + before.count(NAME)]])
    return before.removesuffix(begin), begin


def loose(text: str) -> str:
    """A pattern for it, in which ids, numbers and the tool's name may differ, and blanks be
    missing.
    """
    parts = [re.escape(part) for part in re.split(r"\s+", text)]
    pattern = r"\s*".join(parts).replace(NAME, r"[\w.\-]+?")
    return re.sub(r"(?<!\\)\d+", r"\\d+", pattern.replace(IDS[0], r"[\w\-]+?"))


def common_beginning(*texts: str) -> str:
    letters = takewhile(lambda each: len({*each}) == 1, zip(*texts, strict=False))
    return "".join(each[0] for each in letters)


def common_end(*texts: str) -> str:
    return common_beginning(*(text[::-1] for text in texts))[::-1]
