"""What a kernel's statements become where a vector of lanes runs them: masks, branches, loops.

A value is a Python number where all lanes have the same, and else a vector of int64, float32,
float64 or truths with an element a lane. `now.mask` says which lanes run:
None for all; it is never empty. What a vector holds for other lanes is garbage, and nothing may
depend on it.
"""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy import count_nonzero, ndarray

WARP = 32
SINGLE = np.dtype(np.float32)
TRUTH = np.dtype(np.bool_)
NOBODY = False
"""In place of a mask: no lane at all."""


class Now:
    """Where the emulator stands: one warp of each of some blocks, 32 lanes a block."""

    mask: Any = None
    whole: Any = None  # the last mask of which it is known that no warp is parted
    lanes = WARP  # how many there are
    firsts: Any = None  # of each lane its warp's first, (lanes,)
    threads = WARP
    lane: Any = None  # places in the warp, (lanes,)
    thread_x: Any = None
    warp = 0
    block: tuple[Any, Any, Any] = (0, 0, 0)
    number: Any = None  # of each block in the grid, (blocks,)
    barriers: Any = None  # that each block has met, (blocks,)
    grid = (1, 1, 1)
    memory: Any = None
    shared: Any = None


now = Now()


# --- masks


def truth(value: Any) -> Any:
    if type(value) is not ndarray:
        return bool(value)
    return value if value.dtype is TRUTH else value != 0


def split(condition: Any) -> tuple[Any, Any]:
    """The masks of the lanes that go into a branch, and of those that do not.

    Where all go one way, theirs is the mask that was: what compares masks by `is` relies on it.
    """
    mask = now.mask
    if type(condition) is not ndarray:
        return (mask, NOBODY) if condition else (NOBODY, mask)
    if condition.dtype is not TRUTH:
        condition = condition != 0
    going = condition if mask is None else condition & mask
    count = count_nonzero(going)
    if count == 0:
        return NOBODY, mask
    if count == (len(condition) if mask is None else count_nonzero(mask)):
        return mask, NOBODY
    return going, ~going if mask is None else mask ^ going


def without(mask: Any, gone: Any) -> Any:
    """A mask less those that have returned."""
    if gone is None:
        return mask
    left = ~gone if mask is None else mask & ~gone
    return left if left.any() else NOBODY


def merged(mask: Any, old: Any, new: Any) -> Any:
    """What a variable holds when the lanes of a mask assign to it."""
    if old is None or mask is None or old is new:
        return new
    if isinstance(new, tuple):
        return tuple(merged(mask, a, b) for a, b in zip(old, new, strict=True))
    assert isinstance(new, (int, float, np.generic, ndarray)), f"lanes part over a {type(new)}"
    kind = _type_of(old, new)
    return np.where(mask, np.asarray(new, kind), np.asarray(old, kind))


def _type_of(*values: Any) -> type:
    """A float of Python's own is the result of a float64 intrinsic."""
    types = [getattr(value, "dtype", np.dtype(type(value))) for value in values]
    if any(one.kind == "f" for one in types):
        return np.float32 if SINGLE in types else np.float64
    return np.int64


def returned(result: Any, gone: Any, value: Any) -> tuple[Any, Any]:
    """What a function has given so far, and to whom, when the lanes that run return."""
    mask = now.mask
    if gone is None:
        return value, mask
    return (None if value is None else merged(mask, result, value)), gone | mask


def together(mask: Any) -> None:
    assert now.mask is mask, "lanes part at a break or continue: the emulator knows no such thing"


def only(value: Any) -> Any:
    """What all running lanes have in common; None if they differ."""
    if type(value) is not ndarray:
        return value
    mask = now.mask
    if mask is None:
        return value[0].item() if (value == value[0]).all() else None
    first = value[mask.argmax()]
    return None if ((value != first) & mask).any() else first.item()


def turns(*bounds: Any) -> Iterable[Any]:
    """`range`, of lanes that may differ in their bounds: it narrows the mask turn by turn."""
    same = [only(bound) for bound in bounds]
    if None not in same:
        return range(*map(int, same))
    start, stop, step = {1: (0, *bounds, 1), 2: (*bounds, 1)}.get(len(bounds), bounds)
    return _parted(start, stop, only(step))


def _parted(start: Any, stop: Any, step: int | None) -> Iterator[Any]:
    assert step, "lanes that step differently, or by nothing"
    value, left = start, operator.lt if step > 0 else operator.gt
    while now.mask is not NOBODY:
        going, _ = split(left(value, stop))
        if going is NOBODY:
            return
        now.mask = going
        same = only(value)
        yield value if same is None else same
        value = value + step


def running_warps(mask: Any) -> ndarray:
    """Which of the warps (one of each block) run."""
    if mask is None:
        return np.ones(now.lanes // WARP, bool)
    running = count_nonzero(mask.reshape(-1, WARP), 1)
    assert ((running == 0) | (running == WARP)).all(), "a warp's threads parted"
    return running > 0


# --- expressions


def _under(mask: Any, rest: Callable[[], Any]) -> Any:
    before = now.mask
    now.mask = mask
    value = rest()
    now.mask = before
    return value


def chosen(condition: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    going, staying = split(condition)
    if staying is NOBODY:
        return yes()
    if going is NOBODY:
        return no()
    return merged(going, _under(staying, no), _under(going, yes))


def both(first: Any, rest: Callable[[], Any]) -> Any:
    going, staying = split(first)
    if going is NOBODY:
        return False
    if staying is NOBODY:
        return truth(rest())
    return going & truth(_under(going, rest))


def either(first: Any, rest: Callable[[], Any]) -> Any:
    going, staying = split(first)
    if staying is NOBODY:
        return True
    if going is NOBODY:
        return truth(rest())
    return going | truth(_under(staying, rest))


def both_plain(first: Any, second: Any) -> Any:
    """As `both`, where nothing can go wrong in what need not be looked at."""
    return truth(first) & truth(second)


def either_plain(first: Any, second: Any) -> Any:
    return truth(first) | truth(second)


def negated(value: Any) -> Any:
    return value == 0 if type(value) is ndarray else not value


def _divisor(b: Any) -> Any:
    if type(b) is not ndarray or b.all():
        return b
    zero = b == 0
    if now.mask is None or (zero & now.mask).any():
        raise ZeroDivisionError("a lane divides by zero")
    return np.where(zero, 1, b)


def divided(a: Any, b: Any) -> Any:
    if a is now.thread_x and b == WARP:
        return now.warp
    return a // _divisor(b)


def rest(a: Any, b: Any) -> Any:
    if a is now.thread_x and b == WARP:
        return now.lane
    return a % _divisor(b)


def shifted(a: Any, b: Any) -> Any:
    if a is now.thread_x and b == 5:
        return now.warp
    return a >> b


def least(*values: Any) -> Any:
    return _of_all(values, min, np.minimum)


def most(*values: Any) -> Any:
    return _of_all(values, max, np.maximum)


def _of_all(values: tuple[Any, ...], of_numbers: Any, of_vectors: Any) -> Any:
    result = values[0]
    for value in values[1:]:
        vectors = type(result) is ndarray or type(value) is ndarray
        result = (of_vectors if vectors else of_numbers)(result, value)
    return result


# --- arrays of a thread's own


class Own:
    """A local array: a value an element, each the same in all lanes or a vector."""

    __slots__ = ("_mask", "_values")

    def __init__(self, size: int, garbage: Any) -> None:
        self._mask, self._values = now.mask, [garbage] * size

    def _place(self, index: Any) -> int | None:
        index = only(index) if type(index) is ndarray else index
        assert index is None or 0 <= index < len(self._values), f"{index} of {len(self._values)}"
        return index

    def _each(self, index: ndarray) -> Iterator[tuple[int, ndarray]]:
        running = np.ones(len(index), bool) if now.mask is None else now.mask
        for place in np.unique(index[running]).tolist():
            self._place(place)
            yield place, (index == place) & running

    def __getitem__(self, index: Any) -> Any:
        place = self._place(index)
        if place is not None:
            return self._values[place]
        result = None
        for place, mask in self._each(index):
            result = merged(mask, result, self._values[place])
        return result

    def __setitem__(self, index: Any, value: Any) -> None:
        place = self._place(index)
        if place is None:
            for one, mask in self._each(index):
                self._values[one] = merged(mask, self._values[one], value)
        elif now.mask is self._mask:
            self._values[place] = value
        else:
            self._values[place] = merged(now.mask, self._values[place], value)
