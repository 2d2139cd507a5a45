"""What is kept on disk is named after the code that made it: all of it, wherever it is moved."""

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_house import ROOT, imports, is_module

from ops.cpu import kernel_folders
from ops.cuda.compile import codes

KEPT = {
    "the CPU's kernels": (kernel_folders.sources, ["ops.cpu.kernels.worker"]),
    "a card's kernels": (codes.sources, ["ops.cuda.compile.worker"]),
}


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, at any place in it, and the packages they are in."""
    found = set(imports(path))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    found |= {name.rpartition(".")[0] for name in found}
    return {name for name in found if name and is_module(name)}


def reached(modules: Sequence[str]) -> set[Path]:
    """All files that these modules import, and what those import, that have code in them."""
    waiting, files = list(modules), set[Path]()
    while waiting:
        path = file_of(waiting.pop())
        if path not in files:
            files.add(path)
            waiting += imported(path)
    return {path for path in files if len(ast.parse(path.read_text(encoding="utf-8")).body) > 1}


@pytest.mark.parametrize("what", KEPT)
def test_every_module_that_is_reached_is_in_the_digest(what):
    sources, modules = KEPT[what]
    files = reached(modules)
    assert len(files) > 15
    assert not files - set(sources())


@pytest.mark.parametrize("what", KEPT)
def test_a_folder_within_a_folder_is_in_the_digest(what, tmp_path, monkeypatch):
    places = {
        "the CPU's kernels": ((kernel_folders, "HERE"), "ops/cpu/kernels"),
        "a card's kernels": ((codes, "HERE"), "ops/cuda/kernels"),
    }
    (module, name), folder = places[what]
    deeper = tmp_path / folder / "moved" / "again.py"
    deeper.parent.mkdir(parents=True)
    deeper.touch()
    monkeypatch.setattr(module, name, tmp_path / getattr(module, name).relative_to(ROOT))
    assert deeper in KEPT[what][0]()
