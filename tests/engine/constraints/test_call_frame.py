"""An answer can be kept to calls of tools, in the form in which the template writes them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from call_forms import FORMS, TOOL, calling, written
from tiny_vocabularies import C, build, byte_pairs

from lepton_cli.engine.constraints.call_frame import call_frame
from lepton_cli.engine.constraints.guide import Guide, Guides
from lepton_cli.engine.text.jinja.program import ChatTemplateError
from lepton_cli.engine.text.template import ChatTemplate
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import UsageError

MARKS = ("<s>", "</s>", "<call>", "</call>", "<call|>", "<q>", "<|assistant|>")
STRICT = {
    "city": {"type": "string", "description": "where"},
    "days": {"type": "integer"},
    "unit": {"type": "string", "enum": ["C", "F"]},
    "now": {"type": "boolean"},
}
NARROW = {"type": "object", "properties": STRICT, "required": ["city"]}
STRICT_TOOL = {**TOOL, "parameters": NARROW}
CITY: dict[str, Any] = {"city": "Oslo"}
KEPT = [form for form in FORMS if form not in ("text in json", "elements", "python", "quoted")]


def tokenizer(*marks: str) -> Tokenizer:
    keys = byte_pairs(*((mark, C) for mark in marks or MARKS))
    ends = {
        "bos_token_id": keys["tokens"].index(b"<s>"),
        "eos_token_id": keys["tokens"].index(b"</s>"),
    }
    return build({**keys, **ends})


def guide(
    template: ChatTemplate, read: Tokenizer, tools: Sequence[Any], *, several: bool = True
) -> Guide:
    calls = call_frame(template).constraint(tools, read, several=several)
    return Guides(read).guide(calls, [0], None, thinks=False)


def accepted(guide: Guide, read: Tokenizer, text: str) -> int:
    """How many characters of a text with special tokens the guide allows."""
    ids = read.encode(text, add_special=False, parse_special=True)
    for place, token in enumerate(ids):
        mask = guide.allowed()
        over = guide.ended or token in read.end_of_generation
        if over or (mask is not None and not mask[token]):
            return len(b"".join(read.token_bytes(each, True) for each in ids[:place]).decode())
        guide.accept(token)
    return len(text)


@pytest.mark.parametrize("form", KEPT)
@pytest.mark.parametrize(
    "calls", [[CITY], [{**CITY, "days": 3}], [{**CITY, "unit": "F", "now": True}], [CITY, CITY]]
)
def test_calls_as_the_template_writes_them_are_allowed(form: str, calls: list[Any]) -> None:
    read = tokenizer()
    template = calling(form, read)
    text, made = written(template, calls), guide(template, read, [STRICT_TOOL])
    assert accepted(made, read, text) >= len(text.rstrip())
    assert made.problem_with("") is None


@pytest.mark.parametrize("form", KEPT)
@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (("get_weather", "get_leather"), "leather"),
        (("3", "three"), "three"),
        (("city", "town"), "town"),
        (("F", "K"), "K"),
    ],
)
def test_nothing_else_is_allowed(form: str, change: tuple[str, str], wrong: str) -> None:
    read = tokenizer()
    template = calling(form, read)
    whole = {**CITY, "days": 3, "unit": "F"}
    text = written(template, [whole]).replace(*change)
    made = guide(template, read, [STRICT_TOOL])
    assert accepted(made, read, text) <= text.index(wrong) + len(wrong) - 1
    assert made.problem_with("") == "it is cut short"
    assert accepted(guide(template, read, [STRICT_TOOL]), read, "Hello") == 0


def test_a_required_argument_is_not_left_out() -> None:
    for form in KEPT:
        read = tokenizer()
        template = calling(form, read)
        text = written(template, [{"days": 3}])
        assert accepted(guide(template, read, [STRICT_TOOL]), read, text) < text.index("3")


def test_one_call_ends_the_answer_where_only_one_is_wanted() -> None:
    read = tokenizer()
    template = calling("json", read)
    one, two = written(template, [CITY]), written(template, [CITY, CITY])
    made = guide(template, read, [STRICT_TOOL], several=False)
    assert accepted(made, read, two) == len(one)
    assert made.ended


@pytest.mark.parametrize(
    ("form", "properties", "named"),
    [
        ("elements", {}, "neither JSON nor pairs"),
        ("text in json", {}, "neither JSON nor pairs"),
        ("python", {"a": {"type": "string"}}, "the text 'a' may contain what ends it"),
        ("marks", {"a": {"type": "array"}}, "the argument 'a' of the type array is not written"),
        ("pairs", {"a": {"type": "string", "minLength": 3}}, "the text 'a' has limits (minLength)"),
        ("pairs", {"a": {"anyOf": [{"type": "string"}]}}, "of the type None"),
        ("pairs", {"a": {"type": "string", "enum": [1, "a\n</p>"]}}, "the text 'a' has no choice"),
        ("pairs", {"a": {"type": "string", "enum": 3}}, "wrong at #/properties/a/enum: 3 is"),
        ("pairs", {"a": 3}, "wrong at #/properties/a: 3 is"),
    ],
)
def test_what_cannot_be_kept_to_is_told(form: str, properties: Any, named: str) -> None:
    tool = {**TOOL, "parameters": {"type": "object", "properties": properties}}
    with pytest.raises(UsageError, match=re.escape(named)):
        guide(calling(form, tokenizer()), tokenizer(), [tool])


@pytest.mark.parametrize("form", KEPT)
@pytest.mark.parametrize(
    "parameters", [{}, {"parameters": None}, {"parameters": {"type": "object"}}]
)
def test_a_tool_without_parameters_is_called_without_arguments(form: str, parameters: Any) -> None:
    read = tokenizer()
    template = calling(form, read)
    text, made = (
        written(template, [{}]),
        guide(template, read, [{"name": TOOL["name"], **parameters}]),
    )
    assert accepted(made, read, text) >= len(text.rstrip())
    wrong = guide(template, read, [{"name": TOOL["name"], **parameters}])
    assert accepted(wrong, read, written(template, [CITY])) < written(template, [CITY]).index(
        "Oslo"
    )


@pytest.mark.parametrize("form", KEPT)
@pytest.mark.parametrize("wrong", [{"required": 3}, {"required": [["a"]]}, {"properties": []}])
def test_a_wrong_schema_of_a_tool_is_named(form: str, wrong: Any) -> None:
    tool = {"name": TOOL["name"], "parameters": {"type": "object", **wrong}}
    with pytest.raises(UsageError, match=f"the JSON schema is wrong at #/{min(wrong)}"):
        guide(calling(form, tokenizer()), tokenizer(), [tool])


def test_a_name_that_is_no_word_is_refused() -> None:
    with pytest.raises(UsageError, match="the tool's name 'a\"b' is not letters"):
        guide(calling("json", tokenizer()), tokenizer(), [{"name": 'a"b'}])


# --- the published templates -----------------------------------------------------------------

SPECIAL = re.compile(
    r"<\|[^|<>\s]*\|>|<｜[^｜]*｜>|\[/?[A-Z_]+\]|</?[a-z:_]+>|<\|[a-z]+>|<[a-z]+\|>|<SPECIAL_\d+>"
)
KEPT_TO = 52  # docs/scripts.md has this number


def test_calls_of_published_templates_are_allowed(shared_data: Callable[[str], Path]) -> None:
    kept = 0
    for file in sorted(shared_data("templates").glob("*.jinja")):
        source = file.read_text(encoding="utf-8")
        read = tokenizer("<s>", "</s>", *sorted({*SPECIAL.findall(source)} - {"<s>", "</s>"}))
        try:
            template = ChatTemplate(file.stem, source, read)
            made = guide(template, read, [STRICT_TOOL])
        except (ChatTemplateError, UsageError):
            continue
        text = written(template, [{**CITY, "days": 3}], named="Kimi-K2" in file.stem)
        accepted(made, read, text.lstrip("\n"))
        assert made.problem_with("") is None, (file.stem, text)
        kept += 1
    assert kept == KEPT_TO
