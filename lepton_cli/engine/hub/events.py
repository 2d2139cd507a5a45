"""What a download tells while it runs."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """So many bytes of all files are here. `total` None: the server does not say."""

    name: str  # of the file that is being fetched
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Checking:
    """The file is here; its hash is being computed."""

    name: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that the user should know: a pause, a fresh start, another download."""

    text: str


Event = Progress | Checking | Remark
Tell = Callable[[Event], None]
