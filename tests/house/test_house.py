"""The house rules that a machine can check: import directions, where numba may be, file sizes."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lepton_cli.engine

ROOT = Path(__file__).parents[2]
PACKAGES = ("quant", "ops", "lepton_cli")  # each may import what stands before it
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST = 500  # lines; a file has one subject
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MOST_SIBLINGS = 15  # Python files in a folder


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield str(node.module)


def module_level_imports(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if is_module(name) else str(node.module) for name in inner)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_data_flows_one_way(path):
    mine = PACKAGES.index(path.relative_to(ROOT).parts[0])
    for name in imports(path):
        package = name.split(".")[0]
        assert package not in PACKAGES[mine + 1 :], f"{path} imports {name}"


ROOMS = {  # of each package, the lower ones first: none imports from one that stands behind it
    "lepton_cli.engine": (
        *("events", "library", "text", "sampling", "constraints", "loading", "hub", "files"),
        "converting",
        *("decoding", "embedding", "prefixes", "model", "chat", "jobs", "vectors"),
        *("loss", "imatrix", "measure", "pruning", "shrinking", "drafting"),
    ),
    "lepton_cli.ui": (
        *("terminal", "arguments", "reports", "open_model", "repl", "commands"),
        *("declarations", "cli"),
    ),
    "lepton_cli.models": (
        *(
            "keys",
            "rope",
            "weights",
            "adapters",
            "parts",
            "classifier",
            "decoder",
            "pooling",
            "next_token",
            "entry",
            "architectures",
            "registry",
        ),
    ),
    "ops": (
        *("interface", "limits", "findings", "profile", "machine", "files", "operations"),
        *(
            "program",
            "recorder",
            "observing",
            "memory_plan",
            "needs",
            "narrowing",
            "fusion",
            "logits",
            "compiled",
            "state",
            "drawing",
        ),
        *("reference", "cpu", "encoding", "cuda", "runners", "backend"),
    ),
}


def room_of(name: str, package: str) -> str | None:
    inside = name.removeprefix(f"{package}.")
    return None if inside == name else inside.split(".")[0]


@pytest.mark.parametrize("package", ROOMS)
def test_no_arrow_goes_upward_between_rooms(package):
    order = ROOMS[package]
    for path in ROOT.joinpath(*package.split(".")).rglob("*.py"):
        mine = room_of(name_of(path), package)
        if mine not in order:
            assert mine is None, f"{path} is in no room"
            continue
        for name in imports(path):
            other = room_of(name, package)
            assert other not in order[order.index(mine) + 1 :], f"{path} imports {name}"


def test_the_engine_lists_its_rooms_in_their_order():
    listed = re.findall(r"^(\w+) {2,}\S", inspect.getdoc(lepton_cli.engine) or "", re.M)
    assert (*listed,) == ROOMS["lepton_cli.engine"]


def test_a_folder_has_few_files():
    scripts = [path for folder in ("benchmarks", "tools") for path in (ROOT / folder).rglob("*.py")]
    for folder in {path.parent for path in (*FILES, *TESTS, *scripts)}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_SIBLINGS, f"{folder} has {len(files)} files: rooms, not lists"


def test_the_engine_knows_backends_by_their_face_alone():
    for path in (ROOT / "lepton_cli").rglob("*.py"):
        for name in imports(path):
            assert not name.startswith(("ops.cpu", "ops.cuda")), f"{path} imports {name}"


def test_the_engine_does_not_know_the_screen():
    for path in (ROOT / "lepton_cli" / "engine").rglob("*.py"):
        for name in imports(path):
            assert not name.startswith(("lepton_cli.ui", "rich", "prompt_toolkit", "typer")), path


def test_the_models_know_neither_engine_nor_screen():
    for path in (ROOT / "lepton_cli" / "models").rglob("*.py"):
        for name in imports(path):
            assert not name.startswith(("lepton_cli.engine", "lepton_cli.ui")), path


def test_the_engine_never_prints():
    for path in [*(ROOT / "lepton_cli" / "engine").rglob("*.py"), *(ROOT / "ops").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id == "print"), path


def test_numba_is_imported_by_the_compilers_only():
    """Of the CPU's kernels that is their folder; of the card's one file, and no kernel."""
    allowed = ROOT / "ops" / "cpu" / "kernels", ROOT / "ops" / "cuda" / "compile" / "ptx.py"
    for path in FILES:
        if not {*path.parents, path} & set(allowed):
            assert not any(name.startswith("numba") for name in imports(path)), path


def test_the_screen_never_sees_an_array():
    for path in (ROOT / "lepton_cli" / "ui").rglob("*.py"):
        assert not any(
            name.split(".")[0] in ("numpy", "ops") for name in module_level_imports(path)
        )


def test_modules_do_not_import_each_other_in_circles():
    known = {name_of(path): path for path in FILES}
    graph = {
        name: [n for n in module_level_imports(path) if n in known] for name, path in known.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_tells_its_one_subject(path):
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), f"{path} does not say what it is about"
    assert source.count("\n") <= LONGEST


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_docs_name_places_that_exist(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`([\w.-]+/[\w./<>*-]*)", text):
        if (ROOT / path.split("/")[0]).is_dir():  # others are paths of a user's machine
            assert any(ROOT.glob(re.sub(r"<\w+>", "*", path))), f"{page.name} names {path}"


def test_the_places_of_things_are_a_table_of_many():
    """Or the test above would look at nothing."""
    text = (ROOT / "docs" / "where-things-go.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| .* \| .*`[\w./-]+`", text, re.M)) > 40
