"""The architectures that Lepton knows, and what each was checked against."""

from dataclasses import dataclass

from lepton_cli.engine.library.sizes import counted
from lepton_cli.models.registry import ARCHITECTURES


@dataclass(frozen=True, slots=True)
class Architecture:
    """A name of `general.architecture`.

    `models`: published models; `recordings`: files whose logits llama.cpp recorded and that tests
    compare with. Without any, tests compare the kernels with Lepton's reference in NumPy, on a
    made-up model.
    """

    name: str
    models: str
    recordings: tuple[str, ...]

    @property
    def checked(self) -> str:
        """What its tests compare it with, in a few words."""
        count = len(self.recordings)
        return f"llama.cpp, {counted(count, 'file')}" if count else "Lepton's reference"


def known_architectures() -> list[Architecture]:
    """By name."""
    return [
        Architecture(name, entry.models, entry.recordings)
        for name, entry in sorted(ARCHITECTURES.items())
    ]
