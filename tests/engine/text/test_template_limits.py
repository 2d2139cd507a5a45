"""A hostile template ends soon, with little memory, in one line; it reaches nothing of Python's."""

import itertools
import time
import tracemalloc

import pytest
from fake_model import FakeTokenizer

from lepton_cli.engine.text.jinja.budget import TemplateLimits
from lepton_cli.engine.text.jinja.program import MAX_SOURCE, ChatTemplateError, TemplateProgram
from lepton_cli.engine.text.messages import Message
from lepton_cli.engine.text.template import ChatTemplate

LIMITS = TemplateLimits(seconds=0.1, characters=100_000, bytes=8_000_000)
MEMORY = 40_000_000  # bytes at the peak, as tracemalloc counts them
PATIENCE = 5.0  # seconds; the limit is processor time, and the machine may be busy

DOUBLE = """\
{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = STEP %}{% endfor %}"""
NESTED = """\
{% set ns = namespace(x=START, y=START) %}{% for i in range(60) %}\
{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"""
LISTS, TUPLES = (
    NESTED.replace("START", "[]"),
    NESTED.replace("START", "()").translate(str.maketrans("[]", "()")),
)
DEEP = "{% set ns = namespace(x=[]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor %}"
KEEP = "{% set s = 'ab ' * 30000 %}{% set kept = [] %}{% for i in range(99999) %}\
{% set _ = kept.append(STEP) %}{% endfor %}"
CHAIN = """\
{% set ns = namespace(x=range(9)) %}{% for i in range(99999) %}{% set ns.x = ns.x | STEP %}\
{% endfor %}{{ ns.x | list }}"""
AGAIN = "{% set s = 'a' * 90000 %}{% for i in range(99999) %}{{ STEP }}{% endfor %}"
ROUNDS = "{% for a in range(99999) %}{% for b in range(99999) %}STEP{% endfor %}{% endfor %}"

HOSTILE = {
    "nested-loops": ROUNDS,
    "skipped-loops": ROUNDS.replace("(99999) %}", "(99999) if false %}").replace("false", "b", 1),
    "long-range": "{% for a in range(10 ** 9) %}{% endfor %}",
    "long-output": ROUNDS.replace("STEP", "a" * 99),
    "long-block": "{% set x %}" + ROUNDS.replace("STEP", "a" * 99) + "{% endset %}",
    "filtered-block": "{% filter upper %}" + ROUNDS.replace("STEP", "aa") + "{% endfilter %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "calls": "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n else '' }}{% endmacro %}{{ f(60) }}",
    "callers": "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
    "arguments": "{% macro f() %}{{ f(*range(99999)) }}{{ varargs }}{% endmacro %}{{ f(1) }}",
    "recursive-loop": "{% for x in [[1]] recursive %}{{ loop([x, x]) }}{% endfor %}",
    "text-times": "{{ 'a' * 10 ** 9 }}",
    "times-text": "{{ 10 ** 9 * 'a' }}",
    "list-times": "{{ [0] * 10 ** 9 }}",
    "power": "{{ 10 ** 9 ** 9 ** 9 }}",
    "squares": DOUBLE.replace("'a'", "3").replace("STEP", "ns.x * ns.x"),
    "plus": DOUBLE.replace("STEP", "ns.x + ns.x"),
    "tilde": DOUBLE.replace("STEP", "ns.x ~ ns.x"),
    "join": DOUBLE.replace("STEP", "[ns.x, ns.x] | join"),
    "join-method": DOUBLE.replace("STEP", "ns.x.join([ns.x, ns.x, ns.x])"),
    "replace": DOUBLE.replace("STEP", "ns.x.replace('a', 'aa')"),
    "replace-nothing": DOUBLE.replace("STEP", "ns.x.replace('', ns.x)"),
    "format": DOUBLE.replace("'a'", "'{0}{0}'").replace("STEP", "ns.x.format(ns.x)"),
    "indent": DOUBLE.replace("'a'", "'a\n'").replace("STEP", "ns.x | indent(ns.x, true)"),
    "list-plus": DOUBLE.replace("'a'", "[1]").replace("STEP", "ns.x + ns.x"),
    "wide-format": "{{ '{:>1000000000}'.format('a') }}",
    "wide-field": "{{ '{:{w}}'.format('a', w=10 ** 9) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "odd": "{{ '%1000000000d' is odd }}",
    "divisible": "{{ '%1000000000d' is divisibleby(3) }}",
    "center": "{{ 'a'.center(10 ** 9) }}",
    "zfill": "{{ 'a'.zfill(10 ** 9) }}",
    "wide-json": DEEP + "{{ [ns.x] | tojson(indent=10 ** 9) }}",
    "print": LISTS + "{{ ns.x }}",
    "equal": LISTS + "{{ ns.x == ns.y }}",
    "within": LISTS + "{{ ns.x in ns.y }}",
    "index": LISTS + "{{ [ns.x].index(ns.y) }}",
    "json": LISTS + "{{ ns.x | tojson }}",
    "exception": LISTS + "{{ raise_exception(ns.x) }}",
    "less": TUPLES + "{{ ns.x < ns.y }}",
    "less-test": TUPLES + "{{ ns.x is lt(ns.y) }}",
    "sort": TUPLES + "{{ [ns.x, ns.y] | sort }}",
    "unique": TUPLES + "{{ [ns.x] | unique | list }}",
    "key": TUPLES + "{{ {ns.x: 1} }}",
    "item": TUPLES + "{{ {}[ns.x].a }}",
    "get": TUPLES + "{{ {}.get(ns.x) }}",
    "deep-print": DEEP + "{{ ns.x }}",
    "deep-json": DEEP + "{{ ns.x | tojson }}",
    "deep-from-json": "{{ ('[' * 99999) | from_json }}",
    "changing-loop": "{% set d = {1: 1} %}{% for k in d %}{{ d.update({k + 1: 1}) }}{% endfor %}",
    "circle": "{% set l = [1] %}{% set _ = l.append(l) %}{{ l }}",
    "circle-json": "{% set l = [1] %}{% set _ = l.append(l) %}{{ l | tojson }}",
    "extend": "{% set l = [1] %}{% for i in range(99999) %}{% set _ = l.extend(l) %}{% endfor %}",
    "extend-range": KEEP.replace("append(STEP)", "extend(range(99999))"),
    "keep-slices": KEEP.replace("STEP", "s[1:]"),
    "keep-cases": KEEP.replace("STEP", "s | upper"),
    "keep-parts": KEEP.replace("STEP", "s.split()"),
    "keep-characters": KEEP.replace("STEP", "s | list"),
    "keep-ranges": KEEP.replace("STEP", "range(99999) | map('string') | list"),
    "count": AGAIN.replace("STEP", "s.count('aaaab')"),
    "search": AGAIN.replace("STEP", "'a' * 50 ~ 'b' in s"),
    "namespace": "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
    "map-of-maps": CHAIN.replace("STEP", "map('string')"),
    "select-of-selects": CHAIN.replace("STEP", "select"),
    "reject-of-rejects": CHAIN.replace("STEP", "reject('string')"),
    "unique-of-uniques": CHAIN.replace("STEP", "unique"),
    "digits": "{{ ('f' * 90000) | int(base=16) }}",
}


def run(source):
    return TemplateProgram(source).run({"messages": []}, LIMITS)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_soon_and_in_one_line(name):
    program = TemplateProgram(HOSTILE[name])
    start = time.perf_counter()
    with pytest.raises(ChatTemplateError) as caught:
        program.run({"messages": []}, LIMITS)
    assert time.perf_counter() - start < PATIENCE
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_takes_little_memory(name):
    program = TemplateProgram(HOSTILE[name])
    tracemalloc.start()
    try:
        with pytest.raises(ChatTemplateError):
            program.run({"messages": []}, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


ENDLESS = {
    "parentheses": "{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}",
    "sum": "{{ " + "+".join("1" * 9999) + " }}",
    "negations": "{{ " + "not " * 9999 + "1 }}",
    "attributes": "{{ a" + ".b" * 9999 + " }}",
    "calls": "{{ a" + "()" * 9999 + " }}",
    "loops": "{% for a in b %}" * 99 + "{% endfor %}" * 99,
    "branches": "{% if a %}" + "{% elif b %}" * 7000 + "{% endif %}",
    "braces": "{{" * 40000,
    "comments": "{#" * 40000,
    "raw": "{% raw %}" * 9999,
    "number": "{{ " + "9" * 90000 + " }}",
    "length": "a" * (MAX_SOURCE + 1),
    "comparisons": "{{ " + "<".join("a" * 49_000) + " }}",
    "scoped-blocks": "".join(f"{{% block b{i} scoped %}}{{% endblock %}}" for i in range(999)),
    "infinity": "{{ 1e999 }}",
    "infinities": "{% set x = {'a': [-1e999]} %}{{ x | tojson }}",
    "constant": "{% autoescape 'a' | center(10 ** 9) %}{% endautoescape %}",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_source_that_would_break_the_compiler_is_one_line(name):
    with pytest.raises(ChatTemplateError) as caught:
        TemplateProgram(ENDLESS[name])
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("filters", ["map('abs')", "select", "reject('string')", "unique"])
def test_a_filter_gives_a_list_so_that_none_waits_inside_another(filters):
    assert run(f"{{{{ [1, 2] | {filters} }}}}") == "[1, 2]"


def test_nothing_is_computed_while_compiling():
    start = time.perf_counter()
    TemplateProgram("{{ 'a' * 10 ** 9 }}{{ 10 ** 9 ** 9 ** 9 }}{{ ('a' | upper) * 10 ** 9 }}")
    assert time.perf_counter() - start < PATIENCE


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.x }}",
        "{{ ''['__class__'].x }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ raise_exception.__globals__.x }}",
        "{{ range.__self__.x }}",
        "{{ self.__init__.x }}",
        "{{ self._TemplateReference__context.x }}",
        "{% macro f() %}{% endmacro %}{{ f._func.x }}",
        "{% for i in [1] %}{{ loop._undefined.x }}{% endfor %}",
        "{% for i in [1] %}{{ loop.__class__.x }}{% endfor %}",
        "{% set ns = namespace() %}{{ ns.__class__.x }}",
        "{% set ns = namespace() %}{{ ns._Namespace__attrs.x }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ '{0[x]}'.format({}) }}",
        "{{ [''] | map(attribute='__class__') | map(attribute='x') | list }}",
        "{{ (messages | map('upper')).gi_frame.x }}",
        "{{ cycler.__init__.x }}",
        "{{ lipsum.__globals__.x }}",
        "{{ environment.x }}",
        "{% import 'os' as os %}",
        "{% include '/etc/passwd' %}",
        "{% extends '/etc/passwd' %}",
    ],
)
def test_python_is_out_of_reach(source):
    with pytest.raises(ChatTemplateError):
        run(source)


@pytest.mark.parametrize("name", ["attr", "pprint", "urlize", "xmlattr", "center", "wordwrap"])
def test_filters_that_are_not_bounded_do_not_exist(name):
    with pytest.raises(ChatTemplateError, match=f"No filter named '{name}'"):
        TemplateProgram(f"{{{{ messages | {name} }}}}")


def test_long_messages_raise_the_limits():
    program, variables = TemplateProgram("{{ words }}" * 5), {"words": "a" * 50_000}
    with pytest.raises(ChatTemplateError, match="more than 100000 characters"):
        program.run(variables, LIMITS)
    assert len(program.run(variables, LIMITS.grown(1, 50_000))) == 250_000


def test_renderings_do_not_share_their_budgets():
    program = TemplateProgram("{% for i in range(2000) %}{{ i }}{% endfor %}")
    assert len({program.run({}, TemplateLimits(bytes=1_000_000)) for _ in range(20)}) == 1


# --- one limit for a whole start -------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Processor time that passes by a millisecond whenever it is looked at."""
    looks = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: next(looks) / 1000)
    return looks


def test_an_endless_template_is_tried_for_the_time_of_one_rendering(clock):
    with pytest.raises(ChatTemplateError, match=r"more than 2\.01 s"):
        ChatTemplate("test", HOSTILE["nested-loops"], FakeTokenizer())
    assert next(clock) < 2_100


def test_what_the_trials_take_is_missing_to_the_renderings_that_follow(clock):
    slow = "{{ messages[0].content }}{% for i in range(120) %}{{ i | string }}{% endfor %}"
    template, question = ChatTemplate("test", slow, FakeTokenizer()), Message("user", "Hi")
    trials = next(clock)
    with pytest.raises(ChatTemplateError, match=r"more than 2\.01 s"):
        template.render([question])
    assert trials < next(clock) < 2_100
