"""The sandbox renders what jinja2 renders when it is set up as Hugging Face does."""

import copy
import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from functools import partial

import pytest
from jinja2.exceptions import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from lepton_cli.engine.text.jinja.budget import TemplateLimits
from lepton_cli.engine.text.jinja.codegen import GenerationTag
from lepton_cli.engine.text.jinja.program import ChatTemplateError, TemplateProgram


def refuse(message):
    raise TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        list(value) if isinstance(value, Iterator) else value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def plain_jinja():
    environment = SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", GenerationTag]
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
    environment.filters |= {"tojson": to_json, "from_json": json.loads, "safe": str}
    return environment


@pytest.fixture(scope="session")
def compiled(shared_data):
    """Each published template by our sandbox and by jinja2's."""
    environment = plain_jinja()
    files = sorted(shared_data("templates").glob("*.jinja"))
    sources = {file.stem: file.read_text(encoding="utf-8") for file in files}
    return {
        name: (TemplateProgram(text), environment.from_string(text))
        for name, text in sources.items()
    }


TOOL = {
    "name": "get_weather",
    "description": 'Weather <now> & "then"',
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "é", "enum": ["a", "b"]}},
        "required": ["city"],
    },
}
CALL = {"id": "call12345", "type": "function"}
RESULT = {"role": "tool", "content": '{"t": 3}', "tool_call_id": "call12345", "name": TOOL["name"]}


def said(role, content, **fields):
    return {"role": role, "content": content, **fields}


def called(arguments):
    function = {"name": TOOL["name"], "arguments": arguments}
    return said("assistant", "", tool_calls=[{**CALL, "function": function}])


THOUGHTS = dict.fromkeys(("reasoning_content", "reasoning", "thinking"), "hm")
CHATS = {
    "question": [said("user", "hi")],
    "talk": [said("user", "hi"), said("assistant", "ok"), said("user", " more\n")],
    "system": [said("system", "be nice"), said("user", "hi"), said("assistant", "x")],
    "thoughts": [said("user", "hi"), said("assistant", "ok", **THOUGHTS), said("user", "more")],
    "tags": [
        said("user", "hi"),
        said("assistant", "<think>\na\n</think>\n\nok"),
        said("user", "x"),
    ],
    "tool": [said("user", "weather?"), called({"city": "Paris", "n": 3}), RESULT],
    "tool-text": [said("user", "weather?"), called('{"city": "Paris"}'), RESULT],
    "parts": [said("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])],
}


def outcome(render):
    try:
        return str.__str__(render())
    except (ChatTemplateError, TemplateError, TypeError, ValueError, LookupError):
        return None


@pytest.mark.parametrize("chat", CHATS)
def test_the_text_is_what_plain_jinja_renders(compiled, chat):
    for prompt, thinking in itertools.product((True, False), repeat=2):
        variables = {
            "messages": CHATS[chat],
            "bos_token": "<s>",
            "eos_token": "</s>",
            "add_generation_prompt": prompt,
            "enable_thinking": thinking,
        }
        if chat.startswith("tool"):
            variables["tools"] = [{"type": "function", "function": TOOL}]
        for name, (program, template) in compiled.items():
            own, other = copy.deepcopy(variables), copy.deepcopy(variables)
            ours = outcome(partial(program.run, own, TemplateLimits()))
            assert ours == outcome(partial(template.render, other)), (name, prompt, thinking)


SAME = [
    "{% for x in [1, 2, 3] if x > 1 %}{{ loop.index }}{{ x }}{{ loop.last }}{% endfor %}",
    "{% for x in [] %}{% else %}none{% endfor %}",
    "{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}",
    "{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in range(9) %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k ~ v }}{{ loop.cycle('x', 'y') }}{% endfor %}",
    "{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}",
    "{% macro f(a, b='c') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, b=2) }}",
    "{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, d=4) }}",
    "{% macro f() %}<{{ caller('x') }}>{% endmacro %}{% call(y) f() %}{{ y }}!{% endcall %}",
    "{% set x %}a{{ 1 }}{% endset %}{{ x }}{% filter upper %}b{{ x }}{% endfilter %}",
    "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 'a' in 'abc' }}{{ 4 not in [1] }}{{ 1 == 1.0 != 2 }}",
    "{{ [1, 2, 3, 4][::-1] }}{{ [1, 2, 3][1:] }}{{ 'abcd'[::2] }}{{ 'abcd'[-2:] }}{{ 'abc'[0] }}",
    "{{ 'abc'[-1] }}{{ 'abc'[5] is defined }}{{ [1][0] }}{{ (1, 2)[1] }}{{ {'a': 1}['a'] }}",
    "{{ 7 // 2 }}{{ 7 % 3 }}{{ 2 ** 5 }}{{ -3 }}{{ 1 / 4 }}{{ 'ab' * 2 }}{{ [1] * 2 }}{{ +1 }}",
    "{{ none }}{{ true }}{{ 1.5 }}{{ (1, 'a') }}{{ {'a': [1, None]} }}{{ nothing }}",
    "{{ 'a' if false }}{{ nothing is undefined }}{{ nothing | default('d') }}",
    "{{ '' | d('e', true) }}{{ [3, 1, 2] | sort | join('-') }}{{ [3, 1] | max }}{{ [2, 1] | min }}",
    "{{ ['b', 'B', 'a'] | unique | list }}{{ [{'a': 2}, {'a': 1}] | sort(attribute='a') }}",
    "{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | list }}{{ [1, 2] | map('string') | join }}",
    "{{ [{'a': 1}, {'b': 2}] | selectattr('a', 'defined') | list }}{{ [0, 1] | select | list }}",
    "{{ [1, 2, 3] | reject('odd') | list }}{{ [{'a': 1}] | rejectattr('a', 'eq', 1) | list }}",
    "{{ [1, 2] | first }}{{ [1, 2] | last }}{{ 'ab' | first }}{{ [] | first }}{{ 'ab' | reverse }}",
    "{{ [1, 2] | sum }}{{ [1, 2] | length }}{{ 'ab' | list }}{{ '3' | int + 1 }}{{ 'x' | int }}",
    "{{ '2.5' | float }}{{ -1 | abs }}{{ 'ab c' | title }}{{ 'AB' | lower }}{{ ' a ' | trim }}",
    "{{ 'a' is string }}{{ {} is mapping }}{{ [] is sequence }}{{ 1 is number }}{{ 2 is even }}",
    "{{ 4 is divisibleby(2) }}{{ 1 is in([1]) }}{{ none is none }}{{ 1 is eq(2) }}",
    "{% set ns = namespace(a=1) %}{% set ns.b = 2 %}{{ ns.a + ns.b }}{{ ns.c is defined }}",
    "{% set l = [1] %}{% set _ = l.append(2) %}{% set _ = l.insert(0, 0) %}{{ l.pop() }}{{ l }}",
    "{% set l = [1, 2, 1] %}{{ l.index(2) }}{{ l.count(1) }}{% set _ = l.extend([3]) %}{{ l }}",
    "{% set d = {'a': 1} %}{% set _ = d.update({'b': 2}) %}{{ d.get('c', 3) }}{{ d }}",
    "{% set d = {'a': 1} %}{{ d.pop('a') }}{{ d }}{{ d.setdefault('b', 2) }}{{ d }}",
    "{{ {'a': 1}[missing] is defined }}{{ {'a': 1}.get(missing, 2) }}",
    "{{ dict(a=1) }}{{ dict({'a': 1}, b=2) }}{{ {'items': 1}['items'] }}",
    "{{ {'a': 1}.values() | list }}{{ {'a': 1}.keys() | list }}{{ {'a': 1} | items | list }}",
    "{{ 'a-b-c'.split('-', 1) }}{{ 'a b'.partition(' ') }}{{ 'abc'.startswith('ab') }}",
    "{{ '{} {:>3} {a}'.format(1, 'b', a='c') }}{{ '{{}}{1}{0}'.format('a', 'b') }}",
    "{{ 'aXbX'.replace('X', '-', 1) }}{{ 'ab' | replace('a', 1) }}{{ 'a'.center(5) }}|",
    "{{ 'x'.join('ab') }}{{ 'ab'.find('b') }}{{ 'a' ~ 1 ~ none }}{{ 'ab'.upper() }}",
    "a\n  {% if true %}\n    b\n  {%- endif %}\n  {{- 'c' }}\n{# d #}\ne\n",
]


def run(source):
    return TemplateProgram(source).run({}, TemplateLimits())


@pytest.mark.parametrize("source", SAME)
def test_the_language_is_jinja_s(source):
    assert run(source) == plain_jinja().from_string(source).render()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ {'b': '<é>', 'a': [1, none]} | tojson }}", '{"b": "<é>", "a": [1, null]}'),
        ("{{ '<é>' | tojson(ensure_ascii=true) }}", '"<\\u00e9>"'),
        ("{{ {'a': [1]} | tojson(indent=2) }}", '{\n  "a": [\n    1\n  ]\n}'),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}", '{"a": 2, "b": 1}'),
        ("{{ [1, 2] | tojson(separators=(',', ':')) }}", "[1,2]"),
        ("{{ [1, 2] | map('string') | tojson }}", '["1", "2"]'),
        ("{{ ('{\"a\": 1}' | from_json).a }}", "1"),
        ("{{ '<b>' | safe + '<i>' }}", "<b><i>"),
    ],
)
def test_filters_are_hugging_face_s(source, expected):
    assert run(source) == expected
