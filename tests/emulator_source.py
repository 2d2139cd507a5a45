"""Rewrites a kernel's source, so that a vector of lanes can run it (see emulator_lanes.py).

A block is a function's body, a branch or a loop's body; the mask with which it runs is kept in a
variable of its own. A variable lives in the innermost block that always begins with an assignment
to it: there an assignment is as it stands, and deeper down lanes that do not run keep what they
had. Loops may be left by `return`, by `break` and `continue` only with all their lanes.
"""

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

import emulator_lanes as lanes

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
OPERATORS = {ast.FloorDiv: "_divided", ast.Mod: "_rest", ast.RShift: "_shifted"}
BOOLEANS = {ast.And: "_both", ast.Or: "_either"}
RISKY = (ast.Call, ast.Subscript, ast.FloorDiv, ast.Mod, ast.Div, ast.IfExp, ast.BoolOp)


def rewritten(function: FunctionType) -> CodeType:
    """The code of the rewritten function; it wants HELPERS and `_now` among its globals."""
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    (definition,) = tree.body
    assert isinstance(definition, ast.FunctionDef), f"{function} is no function by def"
    definition = _Rewriting(definition).result()
    outer = ast.parse(f"def outer({', '.join(function.__code__.co_freevars)}): pass").body[0]
    outer.body = [definition]
    module = ast.Module([outer], [])
    ast.fix_missing_locations(module)
    code = compile(module, inspect.getfile(function), "exec")
    for name in ("outer", function.__name__):
        code = next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name)
    return code


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
        self._expressions = _Expressions()

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
            body += _lines("_now.mask = _entry; return _result")
        start += [f"{name} = None" for name in sorted(self._kept - self._parameters)]
        definition.decorator_list, definition.returns = [], None
        arguments = definition.args
        assert not (arguments.kwonlyargs or arguments.vararg or arguments.kwarg)
        arguments.defaults = []
        for argument in arguments.args:
            argument.annotation = None
        definition.body = _lines("; ".join(start)) + body
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
                    made.append(ast.If(_value(f"{block.mask} is not False"), rest, []))
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
            return _lines(f"_now.mask = {block.mask}")
        return _lines(f"_now.mask = {block.mask} = _without({block.mask}, _gone)")

    def _on_if(self, statement: ast.If, block: Block) -> Iterator[ast.stmt]:
        go, stay = self._new("_go"), self._new("_stay")
        yield _assign(f"{go}, {stay}", _call("_split", self._value(statement.test)))
        inner = []
        for mask, body in ((go, statement.body), (stay, statement.orelse)):
            if body:
                inner.append(self._blocks[id(body)])
                begin = _lines(f"_now.mask = {inner[-1].mask} = {mask}")
                yield ast.If(_value(f"{mask} is not False"), begin + self._body(body), [])
        yield from self._after(block, inner)

    def _loop_body(self, body: list[ast.stmt], *start: ast.stmt) -> list[ast.stmt]:
        block = self._blocks[id(body)]
        self._loops.append(block)
        made = [*_lines(f"{block.mask} = _now.mask"), *start, *self._body(body)]
        self._loops.pop()
        if block.returns:
            made += _lines(f"if {block.mask} is False: break")
        return made

    def _on_for(self, statement: ast.For, block: Block) -> Iterator[ast.stmt]:
        assert not statement.orelse and isinstance(statement.target, ast.Name)
        turns = statement.iter
        assert isinstance(turns, ast.Call) and getattr(turns.func, "id", "") == "range", (
            f"line {statement.lineno}: a loop over something else than a range"
        )
        inner, name = self._blocks[id(statement.body)], statement.target.id
        turn = self._new("_turn")
        start = list(self._store(statement.target, _value(turn), inner))
        made = self._loop_body(statement.body, *start)
        bounds = [self._value(bound) for bound in turns.args]
        target = ast.Name(turn, ast.Store())
        if self._home(name, inner) is inner:
            target, made = statement.target, made[:1] + made[1 + len(start) :]
        yield ast.For(target, _call("_turns", *bounds), made, [])
        yield from self._after(block, [inner])

    def _on_while(self, statement: ast.While, block: Block) -> Iterator[ast.stmt]:
        assert not statement.orelse
        go = self._new("_go")
        test = _assign(f"{go}, _stay", _call("_split", self._value(statement.test)))
        begin = _lines(f"if {go} is False: break\n_now.mask = {go}")
        made = self._loop_body(statement.body)
        yield ast.While(ast.Constant(True), [test, *begin, *made], [])
        yield from self._after(block, [self._blocks[id(statement.body)]])

    def _on_break(self, statement: ast.stmt, block: Block) -> Iterator[ast.stmt]:
        yield from _lines(f"_together({self._loops[-1].mask})")
        yield statement

    _on_continue = _on_break

    def _on_return(self, statement: ast.Return, block: Block) -> Iterator[ast.stmt]:
        value = self._value(statement.value or ast.Constant(None))
        yield _assign("_value", value)
        if block is self._root:
            yield from _lines("if _gone is None: return _value")
            yield from _lines(f"_now.mask = _entry; return _merged({block.mask}, _result, _value)")
            return
        yield from _lines("if _gone is None and _now.mask is _entry: return _value")
        yield from _lines("_result, _gone = _returned(_result, _gone, _value)")
        yield from _lines(f"_now.mask = {block.mask} = False")

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
            yield _assign(", ".join(parts), value)
            for part, one in zip(parts, target.elts, strict=True):
                yield from self._store(one, _value(part), block)
        elif isinstance(target, ast.Name) and merged:
            name = target.id
            self._kept.add(name)
            yield _assign("_new", value)
            yield from _lines(
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


class _Expressions(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        name = OPERATORS.get(type(node.op))
        return _call(name, node.left, node.right) if name else node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        risky = [any(isinstance(part, RISKY) for part in ast.walk(one)) for one in node.values]
        values = [self.visit(one) for one in node.values]
        result, name = values[-1], BOOLEANS[type(node.op)]
        for n in range(len(values) - 2, -1, -1):
            plain = not any(risky[n + 1 :])
            second = result if plain else _later(result)
            result = _call(name + "_plain" * plain, values[n], second)
        return result

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        if len(node.ops) == 1:
            return self.generic_visit(node)
        sides = [node.left, *node.comparators]
        assert all(isinstance(one, (ast.Name, ast.Constant)) for one in sides[1:-1]), (
            f"line {node.lineno}: a chain of comparisons over something that is not a name"
        )
        pairs = [
            ast.Compare(sides[n], [op], [copy.deepcopy(sides[n + 1])])
            for n, op in enumerate(node.ops)
        ]
        return self.visit(ast.BoolOp(ast.And(), pairs))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return _call("_negated", node.operand) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        return _call("_chosen", node.test, _later(node.body), _later(node.orelse))


def _lines(source: str) -> list[ast.stmt]:
    body = ast.parse(source).body
    for one in body:
        for node in ast.walk(one):
            for name in ("lineno", "end_lineno", "col_offset", "end_col_offset"):
                if hasattr(node, name):
                    delattr(node, name)
    return body


def _value(source: str) -> ast.expr:
    (statement,) = _lines(source)
    assert isinstance(statement, ast.Expr)
    return statement.value


def _assign(target: str, value: ast.expr) -> ast.stmt:
    (statement,) = _lines(f"{target} = 0")
    assert isinstance(statement, ast.Assign)
    statement.value = value
    return statement


def _call(name: str, *values: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(values), [])


def _later(value: ast.expr) -> ast.expr:
    empty = ast.arguments([], [], None, [], [], None, [])
    return ast.Lambda(empty, value)
