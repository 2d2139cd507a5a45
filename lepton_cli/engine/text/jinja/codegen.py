"""Compiles templates to Python code in which every costly operation calls the environment."""

# ruff: noqa: N802 (jinja2 calls its visitors by the names of its nodes)

import math
from collections.abc import Iterable
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.parser import Parser

FOREIGN = (
    *(nodes.Block, nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include),
    nodes.ScopedEvalContextModifier,  # autoescape
)


class GenerationTag(Extension):
    """`{% generation %}` marks assistant text for training; here it is only a scope."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def restrict(template: nodes.Template) -> None:
    """Raises TemplateSyntaxError for statements that load other templates or that cost too much."""
    for node in template.find_all(FOREIGN):
        name = type(node).__name__
        raise TemplateSyntaxError(f"{name} is not allowed in a chat template", node.lineno)


def add_steps(template: nodes.Template) -> None:
    """Makes each iteration of a loop, even a skipped one, call `environment.step`."""
    for loop in template.find_all(nodes.For):
        loop.body.insert(0, nodes.ExprStmt(_step(loop.lineno), lineno=loop.lineno))
        if loop.test is not None:
            loop.test = nodes.And(_step(loop.lineno), loop.test, lineno=loop.lineno)


def _step(line: int) -> nodes.Expr:
    return nodes.Call(nodes.EnvironmentAttribute("step"), [], [], None, None, lineno=line)


class TracingGenerator(CodeGenerator):
    """A code generator that marks the template's own text and computes nothing at compile time.

    Operators that jinja2's sandbox does not route through the environment are routed here.
    """

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:
        if isinstance(node.value, str):
            self.write(f"environment.literal({node.value!r})")
        elif isinstance(node.value, float) and not math.isfinite(node.value):
            raise TemplateSyntaxError("the number is too large", node.lineno)
        else:
            super().visit_Const(node, frame)

    def visit_TemplateData(self, node: nodes.TemplateData, frame: Frame) -> None:
        self.write(f"environment.literal({node.data!r})")

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return f"environment.literal({''.join(group)!r})"

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if isinstance(node, nodes.TemplateData):
            return node.data
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            return node.value
        raise nodes.Impossible

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self._call("concat_values", node.nodes, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self._call(
            "mapping", [part for item in node.items for part in (item.key, item.value)], frame
        )

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        operands: list[nodes.Expr] = [node.expr]
        for operand in node.ops:
            operands += [nodes.TemplateData(operand.op), operand.expr]
        self._call("compare", operands, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        limits = (node.arg.start, node.arg.stop, node.arg.step)
        bounds = [nodes.Const(None) if limit is None else limit for limit in limits]
        self._call("sliced", [node.node, *bounds], frame)

    def _call(self, method: str, arguments: Iterable[nodes.Expr], frame: Frame) -> None:
        self.write(f"environment.{method}(")
        for argument in arguments:
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")
