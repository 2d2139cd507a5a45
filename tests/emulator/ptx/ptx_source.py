"""PTX as the compiler wrote it, read into statements and pieces of straight code.

As much of the language as kernels use: one entry, registers, no calls, no predicates but on
branches. docs.nvidia.com/cuda/parallel-thread-execution.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

COLLECTIVE = ("shfl.sync", "mma.sync", "bar.warp.sync")
BARRIER = "bar.sync"
TOKEN = re.compile(r"\s*(\{(?=\s*\.reg|\s*mma)|\}|\$\w+:|[^\s;{}][^;{}]*(?:\{[^{}]*\}[^;{}]*)*;)")
"""A scope's braces, a label, a statement (with vectors in braces)."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`@guard opcode operands;`, an operand as a text, or a list where braces stand."""

    opcode: str
    operands: tuple[str | list[str], ...]
    guard: str = ""

    @property
    def meets(self) -> str:
        """Whom a thread waits for before it: its `warp`, its `block`, or nobody."""
        if self.opcode.startswith(COLLECTIVE):
            return "warp"
        return "block" if self.opcode.startswith(BARRIER) else ""


@dataclass(slots=True)
class Piece:
    """Straight code: runs from its beginning to its end, then branches, ends or goes on.

    A barrier is a piece of its own.
    """

    statements: list[Statement] = field(default_factory=list)
    meets: str = ""  # of its first statement
    branch: Statement | None = None  # `bra` or `ret` at its end


@dataclass(slots=True)
class Source:
    """An entry: its parameters' types by name, its registers' types by name, its pieces."""

    parameters: dict[str, str]
    registers: dict[str, str]
    pieces: list[Piece]
    labels: dict[str, int]  # to places in `pieces`


def read(ptx: str) -> Source:
    ptx = re.sub(r"//.*", "", ptx)
    entry = re.search(r"\.visible \.entry \w+\((.*?)\)(.*?)\{(.*)\}\s*$", ptx, re.DOTALL)
    assert entry, "no entry"
    parameters = {name: kind for kind, name in re.findall(r"\.param \.(\w+) (\w+)", entry[1])}
    source = Source(parameters, {}, [Piece()], {})
    for text in _flattened(entry[3], source.registers):
        _take(text, source)
    return source


def _flattened(body: str, registers: dict[str, str]) -> Iterator[str]:
    """Statements and labels; registers of an inner scope get names of their own."""
    scopes, inner = 0, False
    renamed: dict[str, str] = {}
    for text in TOKEN.findall(body):
        if text == "{":
            scopes, inner, renamed = scopes + 1, True, {}
        elif text == "}":
            assert inner, "braces"
            inner, renamed = False, {}
        elif text.startswith(".reg"):
            _, kind, names = text[:-1].split(maxsplit=2)
            for name in _names(names):
                own = name
                if inner:
                    own = renamed[name] = f"{name}.{scopes}"
                registers[own] = kind[1:]
        elif not text.startswith(".pragma"):
            for name, own in renamed.items():
                text = re.sub(rf"(?<![\w.%]){name}(?![\w.:])", own, text)
            yield text


def _names(names: str) -> Iterator[str]:
    for name in names.split(","):
        numbered = re.match(r"\s*(%\w+)<(\d+)>", name)
        if numbered:
            yield from (f"{numbered[1]}{n}" for n in range(int(numbered[2])))
        else:
            yield name.strip()


def _take(text: str, source: Source) -> None:
    """One more statement or label."""
    pieces = source.pieces
    if text.endswith(":"):
        if pieces[-1].statements or pieces[-1].branch:
            pieces.append(Piece())
        source.labels[text[:-1]] = len(pieces) - 1
        return
    statement = _statement(text)
    if (
        pieces[-1].branch
        or pieces[-1].meets == "block"
        or (statement.meets and pieces[-1].statements)
    ):
        pieces.append(Piece())
    if statement.opcode in ("bra", "bra.uni", "ret"):
        pieces[-1].branch = statement
        return
    assert not statement.guard, text
    if statement.meets:
        pieces[-1].meets = statement.meets
    pieces[-1].statements.append(statement)


def _statement(text: str) -> Statement:
    found = re.match(r"(?:@(!?%\w+)\s+)?([\w.:]+)\s*(.*);$", text, re.DOTALL)
    assert found, text
    guard, opcode, rest = found.groups()
    operands: list[str | list[str]] = []
    for operand in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,{}\[\]\s]+", rest):
        one = [part.strip() for part in operand[1:-1].split(",")] if operand[0] == "{" else operand
        operands.append(one)
    return Statement(opcode, tuple(operands), guard or "")
