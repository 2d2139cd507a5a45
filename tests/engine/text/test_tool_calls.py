"""Calls of tools are found in the form in which the template writes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_model import FakeTokenizer

from lepton_cli.engine.text.call_probes import common_beginning
from lepton_cli.engine.text.jinja.program import ChatTemplateError
from lepton_cli.engine.text.messages import Message, ToolCall
from lepton_cli.engine.text.template import ChatTemplate
from lepton_cli.engine.text.tool_calls import HERMES, call_form, read_calls

HEAD = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}"
END = "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
EACH = "{% for k, v in c.function.arguments.items() %}"
FORMS = {
    "json": "<call>\n{{ c.function | tojson }}\n</call>",
    "wrapped": '<call>{{ {"function": c.function, "id": c.id} | tojson }}</call>',
    "text in json": '{"name": "{{ c.function.name }}", "parameters": '
    "{{ c.function.arguments | tojson | tojson }}}",
    "name, json": "[CALL]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}",
    "pairs": "<f={{ c.function.name }}>" + EACH + "<p={{ k }}>\n{{ v if v is string else "
    "v | tojson }}\n</p>{% endfor %}</f>\n",
    "quoted": "call:{{ c.function.name }}(" + EACH + "{{ k }}:{% if v is string %}'{{ v }}'"
    "{% else %}{{ v | tojson }}{% endif %}{{ ',' if not loop.last }}{% endfor %});",
}
TYPED = (
    "{% set kind = 'string' if v is string else 'object' if v is mapping else 'number' if v is "
    "number else 'array' %}<a {{ k }} {{ kind }}>{{ v if v is string else v | tojson }}</a>"
)
MARKED = (
    "{% macro put(v) %}{% if v is string %}<q>{{ v }}<q>{% elif v is mapping %}"
    "{{ '{' }}{% for k, each in v | items %}{{ k }}:{{ put(each) }}{{ ',' if not loop.last }}"
    "{% endfor %}{{ '}' }}"
    "{% elif v is iterable %}[{% for each in v %}{{ put(each) }}{{ ',' if not loop.last }}"
    "{% endfor %}]{% else %}{{ v | tojson }}{% endif %}{% endmacro %}"
)
ELEMENTS = (
    "{% macro inside(v) %}{% if v is mapping %}{% for k, each in v | items %}]<{{ k }}>"
    "{{ inside(each) }}]</{{ k }}>{% endfor %}{% elif v is iterable and v is not string %}"
    "{% for each in v %}]<item>{{ inside(each) }}]</item>{% endfor %}{% else %}{{ v if v is string "
    "else v | tojson }}{% endif %}{% endmacro %}"
)
MACROS = MARKED + ELEMENTS
FORMS |= {  # like those of published templates
    "typed": "<f {{ c.function.name }}>" + EACH + TYPED + "{% endfor %}</f>",  # Kimi-K3's
    "marks": "<call>call:{{ c.function.name }}{{ put(c.function.arguments) }}<call|>",  # Gemma 4's
    "python": "<call>[{{ c.function.name }}(" + EACH + "{{ k }}={% if v is string %}'{{ v }}'"
    "{% elif v is mapping %}{{ v | tojson }}{% else %}{{ v }}{% endif %}{{ ', ' if not loop.last }}"
    "{% endfor %})]</call>",  # LFM2.5's
    "cdata": "<f n={{ c.function.name }}>" + EACH + "<p n={{ k }}>{% if v is string and '<' in v %}"
    "<![CDATA[{{ v }}]]>{% else %}{{ v }}{% endif %}</p>{% endfor %}</f>",  # MiniCPM5's
    "elements": ']<call>\n]<invoke n="{{ c.function.name }}">{{ inside(c.function.arguments) }}'
    "]</invoke>\n]</call>",  # MiniMax-M3's
    "named twice": " to={{ c.function.name }}|<i n={{ c.function.name }}>" + EACH + "<p n={{ k }}>"
    "{{ v if v is string else v | tojson }}</p>{% endfor %}</i>",
}
PARAMETERS = {
    "city": {"type": "string", "description": "where"},
    "days": {"type": "integer", "description": "how many"},
    "also": {"type": "array", "description": "where else", "items": {"type": "string"}},
    "trip": {"type": "object", "additionalProperties": {"type": "string"}, "description": "how"},
}
TOOL = {
    "name": "get_weather",
    "description": "weather",
    "parameters": {"type": "object", "properties": PARAMETERS},
}
CALLS: tuple[list[dict[str, Any]], ...] = (
    [{"city": 'Oslo, "N"'}],
    [{"city": "a\nb <x>", "days": 3}],
    [{"days": 12, "city": "5"}],
    [{"city": "A"}, {"city": "B", "days": 1}],
    [{"city": "A", "trip": {"by": "a: {b}, c", "to": [1, "x", [True, {"y": 2.5}]]}, "days": 3}],
    [{"also": ["it's", "q"], "trip": {"a": {"b": {"c": "d"}}}, "city": "B"}],
)
NESTED = CALLS[4:]


def written(template: ChatTemplate, calls: list[dict[str, Any]], named: bool = False) -> str:
    """What the template writes for these calls after the generation prompt."""
    ids = [f"functions.get_weather:{n}" if named else "abcdefgh0" for n in range(len(calls))]
    made = (
        ToolCall(i, "get_weather", json.dumps(each)) for i, each in zip(ids, calls, strict=True)
    )
    question, variables = Message("user", "Q"), {"tools": [{"type": "function", "function": TOOL}]}
    talk = [question, Message("assistant", "", calls=tuple(made))]
    asked, called = (
        "".join(
            part.text
            for part in template.render(turns, variables=variables, add_generation_prompt=asks)
        )
        for turns, asks in (([question], True), (talk, False))
    )
    return called[len(common_beginning(asked, called)) :]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("calls", CALLS)
def test_calls_are_read_as_the_template_writes_them(form: str, calls: list[Any]) -> None:
    template = ChatTemplate("t", MACROS + HEAD + FORMS[form] + END, FakeTokenizer())
    text = "Let me see.\n" if form != "text in json" else ""
    found = read_calls(text + written(template, calls), call_form(template), [TOOL], "call_")
    assert [json.loads(call.arguments) for call in found.calls] == calls
    assert [call.name for call in found.calls] == ["get_weather"] * len(calls)
    assert [call.id for call in found.calls] == [f"call_{n}" for n in range(len(calls))]
    assert (text + written(template, calls))[: found.begin] == text.strip()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("calls", NESTED)
def test_of_a_call_that_is_cut_nothing_or_all_is_read(form: str, calls: list[Any]) -> None:
    template = ChatTemplate("t", MACROS + HEAD + FORMS[form] + END, FakeTokenizer())
    text, learned = written(template, calls), call_form(template)
    for length in range(len(text)):
        found = read_calls(text[:length], learned, [TOOL], "call_").calls
        assert [json.loads(call.arguments) for call in found] in ([], calls)


def test_elements_without_end_are_no_call() -> None:
    template = ChatTemplate("t", MACROS + HEAD + FORMS["elements"] + END, FakeTokenizer())
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
    template = ChatTemplate("t", MACROS + HEAD + FORMS[form] + END, FakeTokenizer())
    found = read_calls(text, call_form(template), [TOOL], "call_")
    assert (found.begin, found.calls) == (len(text), ())


def test_a_call_of_an_unknown_tool_stays_text() -> None:
    template = ChatTemplate("t", HEAD + FORMS["json"] + END, FakeTokenizer())
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
