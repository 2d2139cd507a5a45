"""Kernels of a rung whose instructions a model stands for, compiled in this process."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest

from ops.cpu.compiling import aim
from ops.cpu.instruction_sets.rung import Rung
from ops.cpu.kernels import kernel
from ops.cpu.kernels.simd import compiler
from ops.cpu.kernels.simd.compiler import c_function
from ops.cpu.objects import ObjectStore


class ModelKernels:
    """This machine's kernels, but those of these names for the rung."""

    def __init__(self, store: ObjectStore, rung: Rung, names: Collection[str]) -> None:
        self._store, self._names, self.compiled = store, names, dict[str, Any]()
        self.rung = rung

    unpacked: Collection[str] = ()

    def prepare(self, names: Iterable[str]) -> None:
        wanted, own = set(names), set(self._names)
        self._store.prepare(wanted - own)
        for name in wanted & own:
            self.address(name)

    def address(self, name: str) -> int:
        if name not in self._names:
            return self._store.address(name)
        if name not in self.compiled:
            key = self.rung.processor, self.rung.features
            aim(self.rung)
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(compiler.RUNGS, key, self.rung)
                self.compiled[name] = c_function(kernel(name), 4)
        return int(self.compiled[name].address)
