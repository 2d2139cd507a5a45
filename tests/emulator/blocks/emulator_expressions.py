"""Expressions of a kernel, rewritten for a vector of lanes; and pieces of source as a tree."""

import ast
import copy

OPERATORS = {ast.FloorDiv: "_divided", ast.Mod: "_rest", ast.RShift: "_shifted"}
BOOLEANS = {ast.And: "_both", ast.Or: "_either"}
RISKY = (ast.Call, ast.Subscript, ast.FloorDiv, ast.Mod, ast.Div, ast.IfExp, ast.BoolOp)


class Expressions(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        name = OPERATORS.get(type(node.op))
        return call(name, node.left, node.right) if name else node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        risky = [any(isinstance(part, RISKY) for part in ast.walk(one)) for one in node.values]
        values = [self.visit(one) for one in node.values]
        result, name = values[-1], BOOLEANS[type(node.op)]
        for n in range(len(values) - 2, -1, -1):
            plain = not any(risky[n + 1 :])
            second = result if plain else later(result)
            result = call(name + "_plain" * plain, values[n], second)
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
        return call("_negated", node.operand) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        return call("_chosen", node.test, later(node.body), later(node.orelse))


def statements_of(source: str) -> list[ast.stmt]:
    body = ast.parse(source).body
    for one in body:
        for node in ast.walk(one):
            for name in ("lineno", "end_lineno", "col_offset", "end_col_offset"):
                if hasattr(node, name):
                    delattr(node, name)
    return body


def value_of(source: str) -> ast.expr:
    (statement,) = statements_of(source)
    assert isinstance(statement, ast.Expr)
    return statement.value


def assignment(target: str, value: ast.expr) -> ast.stmt:
    (statement,) = statements_of(f"{target} = 0")
    assert isinstance(statement, ast.Assign)
    statement.value = value
    return statement


def call(name: str, *values: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(values), [])


def later(value: ast.expr) -> ast.expr:
    empty = ast.arguments([], [], None, [], [], None, [])
    return ast.Lambda(empty, value)
