"""The emulated card does what each intrinsic's `meaning` says, thread by thread."""

from contextlib import nullcontext

import numpy as np
import pytest
from emulated import VARIABLE
from emulator import EmulatedDevice, checked_operands
from emulator_blocks import _translated, set_up
from emulator_intrinsics import as_int, as_single
from emulator_lanes import WARP, now
from emulator_meanings import BLOCKS, LANES, RANDOM, draw, expected, packed
from emulator_threads import run_threads
from test_cuda_attention import Card, Model, Part
from test_cuda_products import Bench
from test_operators import weight

from ops.cuda.device.device import Launch
from ops.cuda.kernels import KERNELS
from ops.cuda.kernels.experts import route_bytes
from ops.cuda.kernels.intrinsics import arithmetic, memory, warps
from ops.cuda.kernels.intrinsics.arithmetic import plus
from ops.cuda.kernels.intrinsics.kernel import kernel, operands_of
from ops.cuda.kernels.intrinsics.memory import (
    load_float,
    load_int,
    reload_float,
    shared_load_int,
    shared_store_int,
    store_float,
    store_int,
)
from ops.cuda.kernels.intrinsics.primitives import Address, Int, Intrinsic, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import barrier, block_x, shared_memory, shuffle, thread_x
from ops.cuda.kernels.operands import Norm, Route
from ops.interface import Heads

INTRINSICS = {
    name: instruction
    for module in (arithmetic, memory, warps)
    for name, instruction in vars(module).items()
    if isinstance(instruction, Intrinsic)
}
PLAIN = [
    name
    for name, instruction in INTRINSICS.items()
    if instruction.kind == "plain" and not instruction.touches
]
TOUCHING = [name for name, instruction in INTRINSICS.items() if instruction.touches]
TOGETHER = [name for name, instruction in INTRINSICS.items() if instruction.kind == "collective"]


@pytest.fixture
def card():
    card = EmulatedDevice(1 << 24)
    set_up([(n, 0, 0) for n in range(BLOCKS)], Launch("none", (BLOCKS, 1, 1), WARP, ()))
    now.memory, now.mask = card.emulator.memory, None
    return card


@pytest.mark.parametrize("name", [*PLAIN, *TOGETHER])
@pytest.mark.parametrize("same", ["none", "first", "last", "all"])
def test_an_intrinsic_means_the_same_in_every_lane(name, same, card):
    """`same`: operands that all lanes share are numbers, not vectors."""
    instruction = INTRINSICS[name]
    operands = [draw(letter, name, n) for n, letter in enumerate(instruction.operands)]
    for n in range(len(operands)):
        if same == "all" or (same, n) in (("first", 0), ("last", len(operands) - 1)):
            one = operands[n][0]
            operands[n] = one if one.dtype == np.float32 else one.item()
    with np.errstate(all="ignore"):
        got = _translated(instruction)(*operands)
    if instruction.results:
        assert packed(got, instruction.results) == expected(instruction, operands)


def test_sums_of_a_matrix_product_are_in_the_order_of_the_meaning(card):
    """Of float16 so far apart that float64 rounds."""
    instruction = INTRINSICS["mma_f16"]
    scale = 2.0 ** RANDOM.integers(-14, 14, (6, 2 * LANES))
    halves = (RANDOM.standard_normal((6, 2 * LANES)) * scale).astype(np.float16)
    operands = [
        *halves.view(np.int32).astype(np.int64),
        *(draw("f", "cos_sin", 0) for _ in range(4)),
    ]
    with np.errstate(all="ignore"):
        assert packed(_translated(instruction)(*operands), "ffff") == expected(
            instruction, operands
        )


@pytest.mark.parametrize("letter", ["i", "f"])
def test_casts(letter):
    cast = as_int if letter == "i" else as_single
    plain = i32 if letter == "i" else f32
    for values in (draw("i", "", 0) * 5, RANDOM.standard_normal(LANES).astype(np.float32) * 1e5):
        want = [plain(one) for one in values]
        assert packed(cast(values), letter) == packed(want, letter)
        assert cast(values[0]) == want[0]


@pytest.mark.parametrize("name", TOUCHING)
@pytest.mark.parametrize("masked", [False, True])
def test_intrinsics_that_touch_memory(name, masked, card):
    instruction, shared = INTRINSICS[name], INTRINSICS[name].touches[0] == "shared"
    size = instruction.touches[1]
    length = LANES * size
    memory = card.emulator.memory
    address = 0 if shared else card.allocate(length)
    if shared:
        set_up([(0, 0, 0)], Launch("none", (1, 1, 1), WARP, (), length))
        now.lanes, now.shared._offsets = LANES, np.zeros(WARP, np.int64)
    data = now.shared.data if shared else memory.view(address, length)
    base = data.ctypes.data - address
    data[:] = RANDOM.integers(0, 256, length, np.uint8)
    before = data.copy()
    places = address + RANDOM.permutation(LANES) * size
    now.mask = RANDOM.random(LANES) < 0.5 if masked else None
    running = np.flatnonzero(now.mask) if masked else np.arange(LANES)
    rest = [draw(letter, name, n) for n, letter in enumerate(instruction.operands[1:], 1)]
    with np.errstate(all="ignore"):
        got = _translated(instruction)(places, *rest)
    if instruction.results:
        found = [instruction.meaning(base + int(one)) for one in places]
        columns = list(zip(*found, strict=True)) if len(instruction.results) > 1 else found
        want, got = packed(columns, instruction.results), packed(got, instruction.results)
        assert [got[n] for n in running] == [want[n] for n in running]
        now.mask = None
        one = _translated(instruction)(int(places[0]))
        assert packed(one, instruction.results)[0] == want[0]
        return
    got = data.copy()
    data[:] = before
    for n in running:
        instruction.meaning(base + int(places[n]), *(column[n] for column in rest))
    np.testing.assert_array_equal(got, data)


# --- kernels


def both_ways(card, function, launch: Launch) -> None:
    """A launch leaves the same in the card's memory as thread by thread."""
    memory = card.emulator.memory
    data = memory.data[: 1 << 20]
    before = data.copy()
    card.emulator.run(function, launch)
    got = data.copy()
    data[:] = before
    with np.errstate(all="ignore"):
        run_threads(function, launch, memory, checked_operands(function, launch))
    np.testing.assert_array_equal(got, data)
    assert (data != before).any()


def put(card, values) -> int:
    values = np.ascontiguousarray(values)
    address = card.allocate(values.nbytes)
    card.upload(address, values)
    return address


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, np.float32)


def test_a_product(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    bench = Bench(weight(33, 64, "Q4_0"))
    x, card = bench.activations(normal(3, 64), "Q4_0"), bench.card
    monkeypatch.setattr(card, "launch", lambda one: both_ways(card, KERNELS[one.kernel], one))
    assert bench.product(3, second=bench.matrix(), x=x).any()


def test_a_norm_and_bytes(card):
    y = card.allocate(2 * 96 * 3 // 2)
    weights = put(card, normal(96))
    record = Norm(put(card, normal(2, 96)), y, weights, 0, weight_rows=1, width=96, eps=1e-5)
    launch = Launch("rms_norm_quantize", (2, 1, 1), 64, operands_of(record), 8)
    both_ways(card, KERNELS["rms_norm_quantize"], launch)


def test_a_choice_of_experts(card):
    ids, weights = card.allocate(3 * 4 * 4), card.allocate(3 * 4 * 4)
    logits = np.round(normal(3, 40))  # with ties
    for gating in range(3):
        record = Route(
            logits=put(card, logits),
            bias=put(card, normal(40)),
            ids=ids,
            weights=weights,
            total=40,
            used=4,
            gating=gating,
            normalize=1,
            scale=1.5,
            groups=4,
            used_groups=2,
        )
        launch = Launch("route", (3, 1, 1), 32, operands_of(record), route_bytes(40, 4, 4))
        both_ways(card, KERNELS["route"], launch)


@pytest.mark.parametrize("split", [16, 0])
def test_attention(split, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    model = Model(Heads(0, 3, 1, 32, 0.2, 9, 5.0), 20, "q8_0", "f16", sinks=normal(3))
    bench = Card(model)
    bench.fill([Part(0, 0, 12)])
    card = bench.device
    monkeypatch.setattr(card, "launch", lambda one: both_ways(card, KERNELS[one.kernel], one))
    assert bench.run([Part(0, 12, 3)], monkeypatch, split=split).any()


# --- statements


def device(function):
    """As if it stood beside the kernels."""
    function.__module__ = "ops.cuda.kernels.of_a_test"
    return function


@device
def parted(a: Int, b: Int) -> Int:
    """Returns from everywhere."""
    if a % 3 == 0:
        if a > 40:
            return 1000 + a
        b = b + 5
    elif a % 3 == 1 and 100 // a > b:
        return -a
    for n in range(a % 7):
        if n * b > 30:
            return 2000 + n
        b += n
    while b < 60 or (a > 50 and not b > 70):
        b = b + a % 5 + 1
        if b == 66:
            return i32(b if a < 50 else -b)
    return b


@kernel(64)
def statements(x: Address, y: Address, count: Int) -> None:
    at = block_x() * 64 + thread_x()
    if at >= count:
        return
    a, own = load_int(x + 4 * at), local.array(8, i32)
    for n in range(8):
        own[n] = i32(n)
    total, other = 0, 7
    for n in range(at % 5, a % 9, 2):
        total, other = total + n, max(other, n * 3)
        own[n] += a
        if a % 2 == 0:
            least = min(a, n)
            total += least
    own[a % 8] = i32(own[at % 8] + 1)
    small = 0 <= total < 9
    part = parted(a, at % 4) if a != 5 else 77
    for n in range(0 if small else 3):
        other ^= n << a % 3
    store_int(y + 32 * at, total)
    store_int(y + 32 * at + 4, other)
    store_int(y + 32 * at + 8, part)
    for n in range(3, 8):
        store_int(y + 32 * at + 4 * n, own[n])


def test_statements_where_lanes_part(card):
    numbers = RANDOM.integers(0, 120, 150).astype(np.int32)
    x, y = put(card, numbers), put(card, np.zeros(8 * 150, np.int32))
    both_ways(card, statements, Launch("statements", (3, 1, 1), 64, (x, y, 140)))


# --- what goes wrong


@kernel(64)
def exchange(y: Address, meets: Int) -> None:
    """Each thread's number from the other warp."""
    shared_store_int(shared_memory() + 4 * thread_x(), thread_x())
    if meets == 1 or (meets == 2 and thread_x() < 32):
        barrier()
    store_int(y + 4 * thread_x(), shared_load_int(shared_memory() + 4 * (thread_x() ^ 32)))


def exchanged(meets: int, **way: bool) -> list[int]:
    card = EmulatedDevice(1 << 20, **way)
    y, numbers = card.allocate(256), np.zeros(64, np.int32)
    card.emulator.run(exchange, Launch("exchange", (1, 1, 1), 64, (y, meets), 256))
    card.download(y, numbers)
    return numbers.tolist()


def test_a_missing_barrier_shows():
    want = [n ^ 32 for n in range(64)]
    assert exchanged(1) == exchanged(1, falling=True) == exchanged(1, races=True) == want
    assert exchanged(0) != exchanged(0, falling=True)
    with pytest.raises(AssertionError, match="race"):
        exchanged(0, races=True)


@kernel(32)
def in_place(x: Address, away: Int) -> None:
    """Blocks are side by side, or with `away` 0 at the same place."""
    at = x + away * block_x() + 4 * thread_x()
    store_float(at, plus(reload_float(at), f32(1)))


@kernel(32)
def in_place_of_constants(x: Address, away: Int) -> None:
    at = x + away * block_x() + 4 * thread_x()
    store_float(at, plus(load_float(at), f32(1)))


@pytest.mark.parametrize(
    ("function", "away", "message"),
    [(in_place, 128, ""), (in_place, 0, "race"), (in_place_of_constants, 128, "race")],
)
def test_races_for_the_cards_memory(function, away, message):
    card = EmulatedDevice(1 << 20, races=True)
    launch = Launch("in_place", (2, 1, 1), 32, (card.allocate(256), away))
    for _ in range(2):  # a launch sees what the one before has done
        with pytest.raises(AssertionError, match=message) if message else nullcontext():
            card.emulator.run(function, launch)


def test_warps_end_together():
    with pytest.raises(AssertionError, match="some warps ended before a barrier"):
        exchanged(2)


@kernel(32)
def touch(y: Address, away: Int, step: Int) -> None:
    store_int(y + away + step * thread_x(), thread_x())


@kernel(32)
def shuffle_of_some(y: Address, count: Int) -> None:
    if thread_x() < count:
        store_int(y + 4 * thread_x(), shuffle(thread_x(), 0))


@kernel(32)
def barrier_of_some(y: Address, count: Int) -> None:
    if thread_x() < count:
        barrier()


@pytest.mark.parametrize(
    ("function", "operands", "message"),
    [
        (touch, (4, 4), "4 bytes at 128 of a piece of 128"),
        (touch, (-4, 4), "no address"),
        (touch, (0, 2), "not aligned"),
        (touch, (0, 0), "different values"),
        (shuffle_of_some, (16,), "parted"),
        (barrier_of_some, (16,), "parted"),
    ],
)
def test_what_a_card_would_not_forgive(function, operands, message, card):
    y = card.allocate(128)
    with pytest.raises(AssertionError, match=message):
        card.emulator.run(function, Launch("wrong", (1, 1, 1), 32, (y, *operands)))


def test_new_memory_is_garbage(card):
    address = card.allocate(64)
    card.clear(address, 64)
    card.free(address)
    assert card.allocate(64) == address
    found = np.empty(64, np.uint8)
    card.download(address, found)
    assert (found == 0xA5).all()
