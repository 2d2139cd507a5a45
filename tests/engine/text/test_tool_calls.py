"""Calls of tools are found in the form in which the template writes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from call_forms import CALLS, FORMS, NESTED, TOOL, calling, written
from fake_model import FakeTokenizer

from lepton_cli.engine.text.jinja.program import ChatTemplateError
from lepton_cli.engine.text.template import ChatTemplate
from lepton_cli.engine.text.tool_calls import HERMES, call_form, read_calls


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("calls", CALLS)
def test_calls_are_read_as_the_template_writes_them(form: str, calls: list[Any]) -> None:
    template = calling(form)
    text = "Let me see.\n" if form != "text in json" else ""
    found = read_calls(text + written(template, calls), call_form(template), [TOOL], "call_")
    assert [json.loads(call.arguments) for call in found.calls] == calls
    assert [call.name for call in found.calls] == ["get_weather"] * len(calls)
    assert [call.id for call in found.calls] == [f"call_{n}" for n in range(len(calls))]
    assert (text + written(template, calls))[: found.begin] == text.strip()


@pytest.mark.parametrize("form", sorted(FORMS.keys() - {"text in json"}))
def test_a_call_without_arguments_is_read(form: str) -> None:
    template = calling(form)
    found = read_calls(written(template, [{}]), call_form(template), [TOOL], "").calls
    assert [call.arguments for call in found] == ["{}"]


def test_the_form_of_calls_is_learned_without_empty_reasoning() -> None:
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}<think>\n\n</think>"
        "\n\n{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}<call>"
        "{{ c.function | tojson }}</call>{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    text = '<call>{"name": "get_weather", "arguments": {"city": "A"}}</call>'
    form = call_form(ChatTemplate("t", source, FakeTokenizer()))
    assert len(read_calls(text, form, [TOOL], "").calls) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("calls", NESTED)
def test_of_a_call_that_is_cut_nothing_or_all_is_read(form: str, calls: list[Any]) -> None:
    template = calling(form)
    text, learned = written(template, calls), call_form(template)
    for length in range(len(text)):
        found = read_calls(text[:length], learned, [TOOL], "call_").calls
        assert [json.loads(call.arguments) for call in found] in ([], calls)


def test_elements_without_end_are_no_call() -> None:
    template = calling("elements")
    text = ']<call>\n]<invoke n="get_weather">' + "]<a>" * 5000
    assert read_calls(text, call_form(template), [TOOL], "").calls == ()


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_arguments_that_are_no_json_are_no_call(number: str) -> None:
    text = f'{{"name": "get_weather", "arguments": {{"days": {number}}}}}'
    assert read_calls("<tool_call>" + text, HERMES, [TOOL], "").calls == ()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello.",
        "<call>{",
        '<call>{"name": 1}',
        "[CALL]x[ARGS]{",
        "<f=get_weather><p=a>",
        '{"a": 1}',
    ],
)
def test_an_answer_without_a_whole_call_stays_text(form: str, text: str) -> None:
    template = calling(form)
    found = read_calls(text, call_form(template), [TOOL], "call_")
    assert (found.begin, found.calls) == (len(text), ())


@pytest.mark.parametrize("kind", [{}, [["string"]], 3])
def test_a_wrong_type_in_a_tool_s_schema_is_none(kind: Any) -> None:
    tool = {"name": "get_weather", "parameters": {"properties": {"city": {"type": kind}}}}
    text = "<f=get_weather><p=city>\n\n</p></f>\n"
    [call] = read_calls(text, call_form(calling("pairs")), [tool], "").calls
    assert json.loads(call.arguments) == {"city": ""}


def test_a_call_of_an_unknown_tool_stays_text() -> None:
    template = calling("json")
    text = '<call>\n{"name": "other", "arguments": {}}\n</call>'
    assert read_calls(text, call_form(template), [TOOL], "call_").calls == ()


def test_a_template_without_calls_has_no_form() -> None:
    plain = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert call_form(ChatTemplate("t", plain, FakeTokenizer())) is None
    told = ChatTemplate("t", "{# <tool_call> #}" + plain, FakeTokenizer())
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "A"}}</tool_call>'
    assert len(read_calls(text, call_form(told), [TOOL], "call_").calls) == 1


def test_gpt_oss_calls_in_the_header_of_a_message() -> None:
    source = "{# to=functions. #}{% for m in messages %}{{ m.content }}{% endfor %}"
    text = (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.get_weather <|constrain|>json<|message|>{"city": "A"}<|call|>'
    )
    form = call_form(ChatTemplate("t", source, FakeTokenizer()))
    found = read_calls(text, form, [TOOL], "call_").calls
    assert [(call.name, call.arguments) for call in found] == [("get_weather", '{"city": "A"}')]


READ, PARTLY = 61, 0  # docs/scripts.md has the first of these numbers


def test_calls_of_the_published_templates_are_read(shared_data: Callable[[str], Path]) -> None:
    whole, partly = set(), set()
    for file in sorted(shared_data("templates").glob("*.jinja")):
        try:
            template = ChatTemplate(file.stem, file.read_text("utf-8"), FakeTokenizer())
            form = call_form(template)
        except ChatTemplateError:
            continue
        right = list[bool]()
        in_id = "Kimi-K2" in file.stem  # the name is only in the call's id
        for calls in (*CALLS[:3], *NESTED) if form else ():
            text = written(template, calls, named=in_id)
            found = read_calls(text, form, [TOOL], "call_")
            right.append([json.loads(call.arguments) for call in found.calls] == calls)
        whole |= {file.stem} if right and all(right) else set()
        partly |= {file.stem} if any(right) and not all(right) else set()
    assert (len(whole), len(partly)) == (READ, PARTLY), partly
