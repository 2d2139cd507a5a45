"""Chat templates that write calls of tools in forms like those of published ones."""

import json
from typing import Any

from fake_model import FakeTokenizer

from lepton_cli.engine.text.call_probes import common_beginning
from lepton_cli.engine.text.messages import Message, ToolCall
from lepton_cli.engine.text.template import ChatTemplate
from lepton_cli.engine.text.tokenizer import Tokenizer

HEAD = (
    "{{ tools | tojson if tools }}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}"
)
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


def calling(form: str, tokenizer: Tokenizer | None = None) -> ChatTemplate:
    """A template that writes calls in a form of FORMS."""
    return ChatTemplate("t", MACROS + HEAD + FORMS[form] + END, tokenizer or FakeTokenizer())


def written(template: ChatTemplate, calls: list[dict[str, Any]], named: bool = False) -> str:
    """What the template writes for these calls after the generation prompt and reasoning."""
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
    begin = len(common_beginning(asked, called))
    for end in template.reasoning.thought_end if template.reasoning else ():
        begin = max(begin, called.rfind(end) + len(end))
    return called[begin:]
