"""`lepton template --check`: what it finds in templates, and in the published ones."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_vocabularies import C, build, byte_pairs

from lepton_cli.engine.text.jinja.program import ChatTemplateError
from lepton_cli.engine.text.template import ChatTemplate, load_template
from lepton_cli.engine.text.template_check import Finding, check_template
from lepton_cli.engine.text.tokenizer import Tokenizer

START = "{{ bos_token }}{% for m in messages %}"
TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
END = "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
GOOD = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% for m in messages %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}{% for call in m.tool_calls or [] %}"
    "{{ call.function | tojson }}{% endfor %}<|im_end|>\n" + END
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
)
THOUGHTLESS = (
    "{% if loop.last and m.role == 'assistant' %}<think>{{ m.reasoning }}</think>{% endif %}"
)
MARKS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")


def tokenizer(*marks: str, adds_bos: bool = False) -> Tokenizer:
    keys = byte_pairs(*((mark, C) for mark in marks or MARKS))
    bos = keys["tokens"].index(b"<s>") if b"<s>" in keys["tokens"] else 0
    return build({**keys, "bos_token_id": bos, "add_bos_token": adds_bos})


def found(source: str, adds_bos: bool = False) -> dict[str, Finding]:
    read = tokenizer(adds_bos=adds_bos)
    findings = check_template(ChatTemplate("t", source, read), read)
    return {finding.kind: finding for finding in findings if finding.kind != "tools"}


def test_a_good_template_has_no_faults() -> None:
    read = tokenizer()
    assert check_template(ChatTemplate("t", GOOD, read), read) == []


@pytest.mark.parametrize(
    ("start", "is_fault", "said"),
    [
        (START, False, "the template writes <s>, and the file asks to add it: Lepton keeps one"),
        ("<s>" + START, True, "every prompt begins with <s> twice"),
    ],
)
def test_a_double_bos_is_told(start: str, is_fault: bool, said: str) -> None:
    finding = found(start + TURN + END, adds_bos=True)["bos"]
    assert (finding.is_fault, said in finding.message) == (is_fault, True)
    assert "bos" not in found(START + TURN + END)


def test_a_lost_system_prompt_is_told() -> None:
    skipped = "{% for m in messages if m.role != 'system' %}" + TURN + END
    for source in (NO_SYSTEM + TURN + END, skipped):
        assert found(source)["system"].is_fault
    first = "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{% continue %}"
    later = found(first + "{% endif %}" + TURN + END)
    assert (later.keys(), later["systems"].is_fault) == ({"systems"}, False)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (  # like Mistral's: the system prompt is before the last question
            "{% for m in messages if m.role != 'system' %}{% if loop.last and messages[0].role == "
            "'system' %}{{ messages[0].content }}{% endif %}" + TURN + END,
            "reads the whole conversation again",
        ),
        ("{% for m in messages %}" + TURN + END + "<think>\n\n</think>\n", "beginning of the answ"),
        (  # without a system prompt also the beginning differs, which is worse
            "{% if messages[0].role != 'system' %}{{ messages | length }}{% endif %}"
            "{% for m in messages %}" + TURN + END + "<think>\n\n</think>\n",
            "reads the whole conversation again",
        ),
        ("{% for m in messages %}" + THOUGHTLESS + TURN + END, "without the reasoning of the"),
    ],
)
def test_a_prompt_that_is_no_beginning_of_the_next_is_told(source: str, said: str) -> None:
    assert said in found(source)["prefix"].message


def test_text_that_becomes_control_is_told() -> None:
    split = "{% if '</think>' in m.content %}<think>{{ m.content.split('</think>')[0] }}</think>"
    source = "{% for m in messages %}" + split + "{% endif %}" + TURN + END
    assert "'</think>' in a question changes which control" in found(source)["control"].message
    flag = "{% if '/no_think' in messages[0].content %}</think>{% endif %}"
    assert "'/no_think' in" in found(GOOD + flag)["control"].message


def test_changed_text_is_told() -> None:
    changed = found(GOOD.replace("{{ m.content }}", "{{ m.content | replace('&amp;', '&') }}"))
    assert "changes the text of a question" in changed["text"].message


def test_a_time_in_the_prompt_is_told() -> None:
    day, minute = ("{{ strftime_now('%d %H') }}" + GOOD, "{{ strftime_now('%M') }}" + GOOD)
    assert "has the date" in found(day)["date"].message
    assert "has the time of day" in found(minute)["date"].message


def test_a_file_without_a_template_is_told() -> None:
    read = tokenizer()
    findings = check_template(load_template({}, read), read)
    assert findings[0].kind == "fallback"
    assert "the file has no chat template" in findings[0].message


# --- the published templates -----------------------------------------------------------------

SPECIAL = re.compile(
    r"<\|[^|<>\s]*\|>|<｜[^｜]*｜>|\[/?[A-Z_]+\]|</?[a-z:_]+>|<\|[a-z]+>|<[a-z]+\|>|<SPECIAL_\d+>"
)
KINDS = {  # of 69: one wants functions; docs/scripts.md has these numbers
    "control": 5,
    "system": 1,
    "systems": 17,
    "date": 9,
    "tools": 11,
    "the last answer": 46,
    "the whole conversation": 1,
}


def test_published_templates_have_the_faults_that_the_documentation_counts(
    shared_data: Callable[[str], Path],
) -> None:
    counts = Counter[str]()
    for file in shared_data("templates").glob("*.jinja"):
        source = file.read_text(encoding="utf-8")
        read = tokenizer("<s>", "</s>", *sorted({*SPECIAL.findall(source)} - {"<s>", "</s>"}))
        try:
            template = ChatTemplate(file.stem, source, read)
        except ChatTemplateError:
            assert "firefunction" in file.stem
            continue
        for finding in check_template(template, read):
            read_again = re.search("reads (.*) again", finding.message)
            counts[read_again[1] if read_again else finding.kind] += 1
    assert counts == KINDS
