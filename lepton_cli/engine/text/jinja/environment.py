"""The sandbox of chat templates: what they can access, and the cost of each operation.

TemplateLimits are enforced in the calling thread: loops, calls, operators, comparisons, filters and
methods all go through here; each checks the time and is charged for its result.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from types import CodeType
from typing import Any

from jinja2 import Environment, Undefined, nodes, pass_context, pass_environment
from jinja2.exceptions import TemplateRuntimeError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment, safe_range
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import Namespace

from lepton_cli.engine.text.jinja.budget import ITEM_BYTES, Budget, LimitError
from lepton_cli.engine.text.jinja.codegen import (
    GenerationTag,
    TracingGenerator,
    add_steps,
    restrict,
)
from lepton_cli.engine.text.jinja.filters import FILTERS, HARMLESS_TESTS, TESTS, compared, printed
from lepton_cli.engine.text.jinja.methods import (
    DICT_METHODS,
    LIST_METHODS,
    TEXT_METHODS,
    Method,
    make_mapping,
    scalar,
)
from lepton_cli.engine.text.jinja.provenance import Traced, cut, derived, join, trusted

MAX_PYTHON = 1_000_000  # characters; published templates make up to 64 thousand
ITEM_FILTERS = ("map", "reject", "rejectattr", "select", "selectattr")
DEEP_FILTERS = ("max", "min", "sort", "unique")
LOOP_ATTRIBUTES = (
    *("index", "index0", "revindex", "revindex0", "first", "last", "length"),
    *("depth", "depth0", "previtem", "nextitem", "cycle"),
)


class RefusalError(TemplateRuntimeError):
    """The template itself refuses these messages."""


class Sandbox(SandboxedEnvironment):
    """The environment of one rendering, set up like Hugging Face's."""

    code_generator_class = TracingGenerator
    intercepted_binops = frozenset(SandboxedEnvironment.default_binop_table)

    def __init__(self, budget: Budget) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", GenerationTag],
            optimized=False,  # would compute constant expressions while compiling, unbounded
            finalize=partial(printed, budget),
            cache_size=0,
        )
        self.budget = budget
        self.filters = {name: self._metered(call) for name, call in FILTERS.items()}
        self.filters |= {name: _each(name) for name in ITEM_FILTERS}
        self.filters |= {name: _deep(name) for name in DEEP_FILTERS}
        self.tests = {name: self._metered(call) for name, call in TESTS.items()}
        self.tests |= {name: JINJA_TESTS[name] for name in HARMLESS_TESTS}
        self.globals = {
            "dict": partial(make_mapping, budget),
            "namespace": lambda *mapping, **named: Namespace(
                make_mapping(budget, *mapping, **named)
            ),
            "raise_exception": partial(refuse, budget),
            "range": safe_range,
            "strftime_now": lambda layout: strftime(datetime.now(), layout),
        }

    def _metered(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def apply(*arguments: Any, **named: Any) -> Any:
            return self.budget.made(call(self.budget, *arguments, **named))

        return apply

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        restrict(template)
        add_steps(template)
        return template

    def _compile(self, source: str, filename: str) -> CodeType:
        if len(source) > MAX_PYTHON:
            raise LimitError(f"it makes more than {MAX_PYTHON} characters of Python")
        return super()._compile(source, filename)

    # --- what generated code calls --------------------------------------------------------------

    literal = staticmethod(trusted)

    def step(self) -> bool:
        """Called in each iteration of a loop; `call` has checked the time."""
        return True

    def concat(self, pieces: Iterable[str]) -> str:
        return self.budget.made(join(self.budget.pieces(pieces)))

    def concat_values(self, *values: Any) -> str:
        return self.concat(printed(self.budget, value) for value in values)

    def mapping(self, *parts: Any) -> dict[Any, Any]:
        return {scalar(key): value for key, value in zip(parts[::2], parts[1::2], strict=True)}

    def compare(self, left: Any, *rest: Any) -> bool:
        """`left < middle <= right`, with all operands computed."""
        self.budget.tick()
        for comparison, right in zip(rest[::2], rest[1::2], strict=True):
            if not compared(self.budget, comparison, left, right):
                return False
            left = right
        return True

    def sliced(self, items: Any, start: Any, stop: Any, step: Any) -> Any:
        if not isinstance(items, str):
            return self.budget.made(items[start:stop:step])
        if step in (None, 1):
            return self.budget.made(cut(items, start, stop))
        return self.budget.made(derived(items[start:stop:step], items))

    # --- what jinja2's sandbox asks -------------------------------------------------------------

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, str) and isinstance(right, str) and operator == "+":
            return self.concat((left, right))
        self._check_operands(operator, left, right)
        result = self.binop_table[operator](left, right)
        return self.budget.made(derived(result, left) if isinstance(result, str) else result)

    def _check_operands(self, operator: str, left: Any, right: Any) -> None:
        """Checks operands before an operator makes something large."""
        self.budget.tick()
        if operator == "%" and isinstance(left, str):
            raise TemplateRuntimeError("% does not format text here")
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            self.budget.check_bits(left.bit_length() * right)
        for items, count in ((left, right), (right, left)):
            if operator == "*" and isinstance(items, str | list | tuple) and isinstance(count, int):
                self.budget.check_length(len(items) * count)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        __self.budget.tick()
        __self.budget.spend(ITEM_BYTES * (len(args) + len(kwargs)))
        return __self.budget.made(__context.call(__obj, *args, **kwargs))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: the method before the item of that name."""
        method = self._method(obj, attribute)
        return self._item(obj, attribute) if isinstance(method, Undefined) else method

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: the item before the method of that name."""
        item = self._item(obj, argument)
        if isinstance(argument, str) and isinstance(item, Undefined):
            method = self._method(obj, argument)
            return item if isinstance(method, Undefined) else method
        return item

    def _method(self, obj: Any, name: str) -> Any:
        methods = METHODS.get(type(obj), {})
        if name in methods:
            return partial(methods[name], self.budget, obj)
        if type(obj) is LoopContext and name in LOOP_ATTRIBUTES:
            return getattr(obj, name)
        return self.undefined(obj=obj, name=name)

    def _item(self, obj: Any, key: Any) -> Any:
        try:
            if type(obj) is Namespace and not key.startswith(
                "_"
            ):  # first: isinstance is slow on it
                return getattr(obj, key)
            if isinstance(obj, Undefined):
                return obj[key]  # raises an error that names what is undefined
            if isinstance(obj, str):
                return cut(obj, operator.index(key), (key + 1) or None) if obj[key] else ""
            if isinstance(obj, dict):
                return obj[scalar(key)]
            if isinstance(obj, list | tuple | range):
                return obj[key]
        except (TypeError, LookupError, AttributeError):
            pass
        return self.undefined(obj="" if isinstance(obj, str) else obj, name=key)


METHODS: Mapping[type, Mapping[str, Method]] = {
    str: TEXT_METHODS,
    Traced: TEXT_METHODS,
    list: LIST_METHODS,
    dict: DICT_METHODS,
}


def _each(name: str) -> Callable[..., Any]:
    """A jinja2 filter over items, returning a list instead of a generator:

    nested generators, as a loop can build them, overflow the C stack.
    """

    @pass_context
    def apply(context: Context, items: Any, *arguments: Any, **named: Any) -> list[Any]:
        found = JINJA_FILTERS[name](context, items, *arguments, **named)
        return list(_budget(context.environment).metered(found))

    return apply


def _deep(name: str) -> Callable[..., Any]:
    """A jinja2 filter that compares whole items."""

    @pass_environment
    def apply(environment: Environment, items: Any, *arguments: Any, **named: Any) -> Any:
        budget = _budget(environment)
        taken = list(budget.metered(items))
        budget.check_size(taken)
        found = JINJA_FILTERS[name](environment, taken, *arguments, **named)
        return list(budget.metered(found)) if name == "unique" else budget.made(found)

    return apply


def _budget(environment: Environment) -> Budget:
    assert isinstance(environment, Sandbox)
    return environment.budget


def refuse(budget: Budget, message: object = "no reason given") -> None:
    """`raise_exception`."""
    raise RefusalError(printed(budget, message))


def strftime(moment: datetime, layout: str) -> str:
    return derived(moment.strftime(layout[:100]), layout)
