"""Rewrites a kernel's source, so that a vector of lanes can run it (see emulator_lanes.py).

A block is a function's body, a branch or a loop's body; the mask with which it runs is kept in a
variable of its own. A variable lives in the innermost block that always begins with an assignment
to it: there an assignment is as it stands, and deeper down lanes that do not run keep what they
had. Loops may be left by `return`, by `break` and `continue` only with all their lanes.
"""

import ast
import copy
import functools
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import emulator_lanes as lanes
from emulator_expressions import Expressions, assignment, call, statements_of, value_of

from ops.cuda.kernels.intrinsics.binding import PACKAGE

HELPERS: dict[str, Callable[..., Any]] = {
    f"_{function.__name__}": function
    for function in (
        lanes.split,
        lanes.without,
        lanes.merged,
        lanes.returned,
        lanes.together,
        lanes.turns,
        lanes.chosen,
        lanes.both,
        lanes.either,
        lanes.both_plain,
        lanes.either_plain,
        lanes.negated,
        lanes.divided,
        lanes.rest,
        lanes.shifted,
    )
}
REPLACED = {"min": lanes.least, "max": lanes.most}


@functools.cache
def _source(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines(keepends=True)


for _name, _module in list(sys.modules.items()):
    if _name.startswith(PACKAGE):  # now, so that nothing that is edited meanwhile is taken for it
        _source(str(_module.__file__))


def rewritten(function: FunctionType) -> CodeType:
    """The code of the rewritten function; it wants HELPERS and `_now` among its globals."""
    code = function.__code__
    first = code.co_firstlineno - 1
    lines = inspect.getblock(_source(code.co_filename)[first:])
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first)
    (definition,) = tree.body
    assert isinstance(definition, ast.FunctionDef), f"{function} is no function by def"
    outer = ast.parse(f"def outer({', '.join(code.co_freevars)}): pass").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body = [_Rewriting(definition).result()]
    module = ast.fix_missing_locations(ast.Module([outer], []))
    made = compile(module, code.co_filename, "exec")
    for name in ("outer", function.__name__):
        made = next(c for c in made.co_consts if isinstance(c, CodeType) and c.co_name == name)
    return made


@dataclass(eq=False)
class Block:
    """Its events in their order: what is read, what is assigned to, and blocks inside."""

    number: int
    parent: "Block | None"
    events: list[Any] = field(default_factory=list)
    returns: bool = False

    @property
    def mask(self) -> str:
        return f"_mask{self.number}"

    def mentions(self, name: str) -> bool:
        return any(
            event.mentions(name) if isinstance(event, Block) else name in event[1]
            for event in self.events
        )

    def homes(self, name: str) -> "list[Block] | None":
        """Blocks that hold every use of the name and begin with an assignment; None: too few."""
        inner: list[Block] = []
        first, direct, failed = "", False, False
        for event in self.events:
            if isinstance(event, Block):
                if event.mentions(name):
                    first, found = first or "inside", event.homes(name)
                    failed, inner = failed or found is None, inner + (found or [])
            elif name in event[1]:
                first, direct = first or event[0], True
        if first == "assigned":
            return [self]
        return None if direct or failed else inner


def _names(node: ast.AST | None, kind: type) -> set[str]:
    return {
        one.id
        for one in (ast.walk(node) if node else ())
        if isinstance(one, ast.Name) and isinstance(one.ctx, kind)
    }


class _Rewriting:
    def __init__(self, definition: ast.FunctionDef) -> None:
        self._made = 0
        self._blocks: dict[int, Block] = {}  # by the id of the list of statements
        self._definition = definition
        parameters = {argument.arg for argument in definition.args.args}
        self._root = self._block(definition.body, None, ("assigned", parameters))
        self._loops: list[Block] = []
        self._kept: set[str] = set()  # variables that are merged somewhere
        self._parameters = parameters
        self._expressions = Expressions()

    # --- what is read and assigned where

    def _block(self, body: list[ast.stmt], parent: Block | None, *events: Any) -> Block:
        block = Block(len(self._blocks), parent, list(events))
        self._blocks[id(body)] = block
        for statement in body:
            self._enter(statement, block)
        return block

    def _enter(self, statement: ast.stmt, block: Block) -> None:
        kind = type(statement)
        inner: list[Block] = []
        if kind is ast.For:
            block.events.append(("read", _names(statement.iter, ast.Load)))
            inner = [
                self._block(
                    statement.body, block, ("assigned", _names(statement.target, ast.Store))
                )
            ]
        elif kind in (ast.If, ast.While):
            block.events.append(("read", _names(statement.test, ast.Load)))
            inner = [self._block(statement.body, block)]
            if statement.orelse:
                inner.append(self._block(statement.orelse, block))
        else:
            block.events.append(("read", _names(statement, ast.Load)))
            if kind is ast.AugAssign:
                block.events.append(("read", _names(statement.target, ast.Store)))
            block.events.append(("assigned", _names(statement, ast.Store)))
            block.returns |= kind is ast.Return
        block.events += inner
        block.returns |= any(one.returns for one in inner)

    def _home(self, name: str, block: Block) -> Block:
        homes = self._root.homes(name) or [self._root]
        one: Block | None = block
        while one is not None and one not in homes:
            one = one.parent
        return one or self._root

    # --- statements

    def result(self) -> ast.FunctionDef:
        definition, root = self._definition, self._root
        body = self._body(definition.body)
        start = [f"{root.mask} = _now.mask"]
        if root.returns:
            start.append("_result = _gone = None")
            start.append(f"_entry = {root.mask}")
            body += statements_of("_now.mask = _entry; return _result")
        start += [f"{name} = None" for name in sorted(self._kept - self._parameters)]
        definition.decorator_list, definition.returns = [], None
        arguments = definition.args
        assert not (arguments.kwonlyargs or arguments.vararg or arguments.kwarg)
        arguments.defaults = []
        for argument in arguments.args:
            argument.annotation = None
        definition.body = statements_of("; ".join(start)) + body
        return definition

    def _body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        return self._rest(statements, 0, self._blocks[id(statements)])

    def _rest(self, statements: list[ast.stmt], first: int, block: Block) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for n in range(first, len(statements)):
            statement = statements[n]
            new = list(self._statement(statement, block))
            for one in new:
                for node in ast.walk(one):
                    if not hasattr(node, "lineno") and isinstance(node, (ast.stmt, ast.expr)):
                        ast.copy_location(node, statement)
            made += new
            if isinstance(statement, (ast.Return, ast.Break, ast.Continue)):
                break
            if self._may_return(statement):
                if rest := self._rest(statements, n + 1, block):
                    made.append(ast.If(value_of(f"{block.mask} is not False"), rest, []))
                break
        return made

    def _may_return(self, statement: ast.stmt) -> bool:
        bodies = [getattr(statement, "body", []), getattr(statement, "orelse", [])]
        return any(body and self._blocks[id(body)].returns for body in bodies)

    def _statement(self, statement: ast.stmt, block: Block) -> Iterator[ast.stmt]:
        kind = type(statement).__name__
        handler = getattr(self, f"_on_{kind.lower()}", None)
        assert handler, f"line {statement.lineno}: the emulator knows no {kind}"
        yield from handler(statement, block)

    def _after(self, block: Block, inner: list[Block]) -> list[ast.stmt]:
        """The block's mask again, less those that returned inside."""
        if not any(one.returns for one in inner):
            return statements_of(f"_now.mask = {block.mask}")
        return statements_of(f"_now.mask = {block.mask} = _without({block.mask}, _gone)")

    def _on_if(self, statement: ast.If, block: Block) -> Iterator[ast.stmt]:
        go, stay = self._new("_go"), self._new("_stay")
        yield assignment(f"{go}, {stay}", call("_split", self._value(statement.test)))
        inner = []
        for mask, body in ((go, statement.body), (stay, statement.orelse)):
            if body:
                inner.append(self._blocks[id(body)])
                begin = statements_of(f"_now.mask = {inner[-1].mask} = {mask}")
                yield ast.If(value_of(f"{mask} is not False"), begin + self._body(body), [])
        yield from self._after(block, inner)

    def _loop_body(self, body: list[ast.stmt], *start: ast.stmt) -> list[ast.stmt]:
        block = self._blocks[id(body)]
        self._loops.append(block)
        made = [*statements_of(f"{block.mask} = _now.mask"), *start, *self._body(body)]
        self._loops.pop()
        if block.returns:
            made += statements_of(f"if {block.mask} is False: break")
        return made

    def _on_for(self, statement: ast.For, block: Block) -> Iterator[ast.stmt]:
        assert not statement.orelse and isinstance(statement.target, ast.Name)
        turns = statement.iter
        assert isinstance(turns, ast.Call) and getattr(turns.func, "id", "") == "range", (
            f"line {statement.lineno}: a loop over something else than a range"
        )
        inner, name = self._blocks[id(statement.body)], statement.target.id
        turn = self._new("_turn")
        start = list(self._store(statement.target, value_of(turn), inner))
        made = self._loop_body(statement.body, *start)
        bounds = [self._value(bound) for bound in turns.args]
        target = ast.Name(turn, ast.Store())
        if self._home(name, inner) is inner:
            target, made = statement.target, made[:1] + made[1 + len(start) :]
        yield ast.For(target, call("_turns", *bounds), made, [])
        yield from self._after(block, [inner])

    def _on_while(self, statement: ast.While, block: Block) -> Iterator[ast.stmt]:
        assert not statement.orelse
        go = self._new("_go")
        test = assignment(f"{go}, _stay", call("_split", self._value(statement.test)))
        begin = statements_of(f"if {go} is False: break\n_now.mask = {go}")
        made = self._loop_body(statement.body)
        yield ast.While(ast.Constant(True), [test, *begin, *made], [])
        yield from self._after(block, [self._blocks[id(statement.body)]])

    def _on_break(self, statement: ast.stmt, block: Block) -> Iterator[ast.stmt]:
        yield from statements_of(f"_together({self._loops[-1].mask})")
        yield statement

    _on_continue = _on_break

    def _on_return(self, statement: ast.Return, block: Block) -> Iterator[ast.stmt]:
        value = self._value(statement.value or ast.Constant(None))
        yield assignment("_value", value)
        if block is self._root:
            yield from statements_of("if _gone is None: return _value")
            yield from statements_of(
                f"_now.mask = _entry; return _merged({block.mask}, _result, _value)"
            )
            return
        yield from statements_of("if _gone is None and _now.mask is _entry: return _value")
        yield from statements_of("_result, _gone = _returned(_result, _gone, _value)")
        yield from statements_of(f"_now.mask = {block.mask} = False")

    def _on_expr(self, statement: ast.Expr, block: Block) -> Iterator[ast.stmt]:
        yield ast.Expr(self._value(statement.value))

    def _on_pass(self, statement: ast.Pass, block: Block) -> Iterator[ast.stmt]:
        yield statement

    def _on_annassign(self, statement: ast.AnnAssign, block: Block) -> Iterator[ast.stmt]:
        yield from self._store(statement.target, self._value(statement.value), block)

    def _on_augassign(self, statement: ast.AugAssign, block: Block) -> Iterator[ast.stmt]:
        old = copy.deepcopy(statement.target)
        old.ctx = ast.Load()
        value = ast.BinOp(old, statement.op, statement.value)
        yield from self._store(statement.target, self._value(value), block)

    def _on_assign(self, statement: ast.Assign, block: Block) -> Iterator[ast.stmt]:
        (target,) = statement.targets
        yield from self._store(target, self._value(statement.value), block)

    def _store(self, target: ast.expr, value: ast.expr, block: Block) -> Iterator[ast.stmt]:
        names = _names(target, ast.Store)
        merged = {name for name in names if self._home(name, block) is not block}
        if isinstance(target, (ast.Tuple, ast.List)) and merged:
            parts = [self._new("_part") for _ in target.elts]
            yield assignment(", ".join(parts), value)
            for part, one in zip(parts, target.elts, strict=True):
                yield from self._store(one, value_of(part), block)
        elif isinstance(target, ast.Name) and merged:
            name = target.id
            self._kept.add(name)
            yield assignment("_new", value)
            yield from statements_of(
                f"{name} = _new if _now.mask is {self._home(name, block).mask} "
                f"else _merged(_now.mask, {name}, _new)"
            )
        else:
            yield ast.Assign([self._expressions.visit(target)], value)

    # --- small things

    def _value(self, node: ast.expr) -> ast.expr:
        return self._expressions.visit(node)

    def _new(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made}"
