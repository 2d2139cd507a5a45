"""What is wrong with a chat template, found by rendering small conversations."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from lepton_cli.engine.text.call_probes import common_beginning
from lepton_cli.engine.text.jinja.program import ChatTemplateError
from lepton_cli.engine.text.messages import Message
from lepton_cli.engine.text.template import CALL_PROBE, TOOL_PROBE, ChatTemplate
from lepton_cli.engine.text.tokenizer import Tokenizer

Kind = Literal[
    "control", "fallback", "refusal", "bos", "system", "systems", "text", "prefix", "date", "tools"
]

QUESTION, ANSWER = Message("user", "Zq7 question"), Message("assistant", "Zq7 answer")
RULE = Message("system", "Zq7 rule")
CALLED = Message("assistant", "", calls=(CALL_PROBE,))
RESULT = Message("tool", "Zq7 result", call_id=CALL_PROBE.id, name=CALL_PROBE.name)
MOMENT = datetime(2025, 1, 1, 12)
PLAIN = "Zq7 a\n\n  <b>&amp; 'c' \"d\" \\n {{ e }} é"
MARKS = ("<think>", "</think>", "/think", "/no_think", "[INST]", "[/INST]", "<tool_call>")


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a template, or a note: what Lepton deals with, and limits worth knowing."""

    kind: Kind
    message: str
    is_fault: bool = True


def check_template(template: ChatTemplate, tokenizer: Tokenizer) -> list[Finding]:
    """All findings, each kind once: a check yields its worst case first."""
    checks = (_control, _fallback, _double_bos, _system, _text, _prefix, _date, _tools)
    found = list[Finding]()
    for check in checks:
        try:
            found += check(template, tokenizer)
        except ChatTemplateError as error:
            found.append(Finding("refusal", error.message))
    return list({finding.kind: finding for finding in reversed(found)}.values())[::-1]


def _control(template: ChatTemplate, tokenizer: Tokenizer) -> Iterator[Finding]:
    special = {tokenizer.token_id(text) for text in tokenizer.special_texts}
    texts = (*MARKS, *tokenizer.special_texts)

    def changes(talk: Sequence[Message], words: str) -> bool:
        given = [replace(each, content=each.content.replace("{}", words)) for each in talk]
        plain = [replace(each, content=each.content.replace("{}", "words")) for each in talk]
        return control_tokens(given) != control_tokens(plain)

    def control_tokens(talk: Sequence[Message]) -> list[int]:
        ids = tokenizer.encode_segments(template.render(talk, now=MOMENT))
        return [token for token in ids if token in special]

    def first_of(talk: Sequence[Message]) -> str:
        """The first text that changes something together with those before it."""
        places = range(len(texts))
        return texts[
            bisect_left(places, True, key=lambda n: changes(talk, " ".join(texts[: n + 1])))
        ]

    open_question, open_answer = Message("user", "Zq7 {}"), Message("assistant", "Zq7 {}")
    for whose, talk in {
        "a question": [open_question],
        "an answer": [QUESTION, open_answer, QUESTION],
        "a system prompt": [Message("system", "Zq7 {}"), QUESTION],
    }.items():
        if changes(talk, " ".join(texts)):
            message = f"{first_of(talk)!r} in {whose} changes which control tokens the prompt has"
            yield Finding("control", message)


def _fallback(template: ChatTemplate, _: Tokenizer) -> Iterator[Finding]:
    if template.note:
        yield Finding("fallback", template.note)


def _double_bos(template: ChatTemplate, tokenizer: Tokenizer) -> Iterator[Finding]:
    if tokenizer.bos is None:
        return
    bos = tokenizer.token_text(tokenizer.bos)
    ids = tokenizer.encode_segments(template.render([QUESTION]))
    if ids[:2] == [tokenizer.bos] * 2:
        yield Finding("bos", f"every prompt begins with {bos} twice")
    elif tokenizer.adds_bos and _shown(template, [QUESTION], whole=True).startswith(bos):
        message = f"the template writes {bos}, and the file asks to add it: Lepton keeps one, "
        message += "another program may give the model two"
        yield Finding("bos", message, is_fault=False)


def _system(template: ChatTemplate, _: Tokenizer) -> Iterator[Finding]:
    if not template.takes_system:
        message = "the template loses a system prompt: Lepton puts it before the first question"
        yield Finding("system", message)
    elif not template.takes_later_systems:
        message = "the template takes one system message, at the beginning: Lepton joins those "
        message += "that come first, and puts a later one before the next question"
        yield Finding("systems", message, is_fault=False)


def _text(template: ChatTemplate, _: Tokenizer) -> Iterator[Finding]:
    roles = {"a question": [Message("user", PLAIN)]}
    roles["an answer"] = [QUESTION, Message("assistant", PLAIN), QUESTION]
    for whose, talk in roles.items():
        if PLAIN not in _shown(template, talk):
            yield Finding("text", f"the template changes the text of {whose}")


def _prefix(template: ChatTemplate, _: Tokenizer) -> Iterator[Finding]:
    """Whether a turn's prompt begins with the one before it and its answer."""
    shown = [
        (_shown(template, first), _shown(template, [*first, ANSWER, Message("user", "Zq7 more")]))
        for first in ([RULE, QUESTION], [QUESTION])
    ]
    if any(QUESTION.content not in common_beginning(*pair) for pair in shown):
        message = "the next turn's prompt differs from the beginning on: "
        yield Finding("prefix", message + "every turn reads the whole conversation again")
    if not all(
        later.removeprefix(asked).lstrip().startswith(ANSWER.content) for asked, later in shown
    ):
        message = "the next turn's prompt has another beginning of the answer: "
        yield Finding("prefix", message + "every turn reads the last answer again")
    later = _shown(template, [QUESTION, replace(ANSWER, reasoning="Zq7 thought"), QUESTION])
    if template.reasoning and "Zq7 thought" not in later:
        message = "the next turn's prompt is without the reasoning of the answer: "
        yield Finding("prefix", message + "every turn reads the last answer again")


def _date(template: ChatTemplate, _: Tokenizer) -> Iterator[Finding]:
    now = _shown(template, [QUESTION])
    for name, later in ("time of day", timedelta(minutes=1)), ("date", timedelta(days=1)):
        if _shown(template, [QUESTION], moment=MOMENT + later) != now:
            message = f"the prompt has the {name}: with another one, none of it is reused"
            yield Finding("date", message, is_fault=False)
            return


def _tools(template: ChatTemplate, _: Tokenizer) -> Iterator[Finding]:
    talk, lost = [QUESTION], [] if template.takes_tools else ["the tools"]
    for what, message, word in (
        ("calls of tools", CALLED, "zq7value"),
        ("their results", RESULT, RESULT.content),
    ):
        talk.append(message)
        try:
            if word not in _shown(template, talk, tools=[TOOL_PROBE]):
                lost.append(what)
        except ChatTemplateError:
            lost.append(what)
    if lost:
        missing = f"the template has no place for {', '.join(lost)}"
        yield Finding("tools", missing, is_fault=False)


def _shown(
    template: ChatTemplate,
    talk: Sequence[Message],
    *,
    moment: datetime = MOMENT,
    tools: Sequence[object] = (),
    whole: bool = False,
) -> str:
    """The prompt as text; `whole`: with the BOS and EOS that the tokenizer adds."""
    if whole:
        prompt = template.run(talk, {"add_generation_prompt": True})
    else:
        prompt = template.render(talk, variables={"tools": tools} if tools else None, now=moment)
    return "".join(segment.text for segment in prompt)
