"""Mixtures of experts: routing, grouping rows by expert, summing results."""

from ops.cuda.kernels.intrinsics.arithmetic import divided, exponential, fma, greater, plus, times
from ops.cuda.kernels.intrinsics.functions import sigmoid
from ops.cuda.kernels.intrinsics.kernel import kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_float,
    load_int,
    reload_float,
    store_float,
    store_int,
)
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Int, f32, i32
from ops.cuda.kernels.intrinsics.warps import (
    block_x,
    shuffle,
    shuffle_xor,
    shuffle_xor_float,
    thread_x,
    warp_barrier,
    warp_maximum,
    warp_sum,
)
from ops.cuda.kernels.operands import ExpertSum, Route

THREADS = 256
SOFTMAX, SIGMOID, SOFTMAX_OF_CHOSEN = range(3)
GATINGS = {"softmax": SOFTMAX, "sigmoid": SIGMOID, "softmax_of_chosen": SOFTMAX_OF_CHOSEN}
LOWEST = -3.4028234663852886e38


@kernel(WARP)
def route(op: Route) -> None:
    """One warp per token: the best experts one after the other, the lower id in a tie.

    The score of each expert replaces its logit.
    """
    lane = thread_x()
    logits = op.logits + 4 * block_x() * op.total
    ids, weights = op.ids + 4 * block_x() * op.used, op.weights + 4 * block_x() * op.used
    largest = f32(LOWEST)
    for n in range(lane, op.total, WARP):
        largest = greater(largest, reload_float(logits + 4 * n))
    largest = warp_maximum(largest)
    whole = f32(0)
    for n in range(lane, op.total, WARP):
        score = reload_float(logits + 4 * n)
        if op.gating == SOFTMAX:
            score = exponential(plus(score, -largest))
        elif op.gating == SIGMOID:
            score = sigmoid(score)
        whole = plus(whole, score)
        store_float(logits + 4 * n, score)
    whole = warp_sum(whole)
    sum_of_chosen, first = f32(0), f32(0)
    for k in range(op.used):
        best, where = f32(LOWEST), i32(op.total)
        for n in range(lane, op.total, WARP):
            score = reload_float(logits + 4 * n)
            if score > best:
                best, where = score, i32(n)
        for step in range(5):
            other = shuffle_xor_float(best, 16 >> step)
            place = shuffle_xor(where, 16 >> step)
            if other > best or (other == best and place < where):
                best, where = other, place
        if op.gating == SOFTMAX:
            weight = divided(best, whole)
        elif op.gating == SIGMOID:
            weight = best
        else:
            if k == 0:
                first = best
            weight = exponential(plus(best, -first))
        sum_of_chosen = plus(sum_of_chosen, weight)
        where = i32(min(where, op.total - 1))  # if the logits are NaN, none was the best
        if lane == where % WARP:
            store_float(logits + 4 * where, f32(LOWEST))
        if lane == 0:
            store_int(ids + 4 * k, where)
            store_float(weights + 4 * k, weight)
    divisor = f32(1)
    if op.gating == SOFTMAX_OF_CHOSEN:
        divisor = sum_of_chosen
    elif op.normalize != 0:
        divisor = greater(sum_of_chosen, f32(6.1e-5))
    warp_barrier()
    for k in range(lane, op.used, WARP):
        weight = divided(reload_float(weights + 4 * k), divisor)
        store_float(weights + 4 * k, times(weight, op.scale))


@kernel(WARP)
def group(ids: Address, order: Address, starts: Address, total: Int, rows: Int) -> None:
    """One warp per expert writes its rows to `order`, after those of the experts before it.

    Each warp reads all rows, 32 at a time. starts (total + 1): where each expert's rows begin.
    """
    lane, expert = thread_x(), block_x()
    below, mine = i32(0), i32(0)
    for base in range(0, rows, WARP):
        chosen = i32(-1)
        if base + lane < rows:
            chosen = load_int(ids + 4 * (base + lane))
        if chosen >= 0 and chosen < expert:
            below = i32(below + 1)
        if chosen == expert:
            mine = i32(mine + 1)
    for step in range(5):
        below = i32(below + shuffle_xor(below, 16 >> step))
        mine = i32(mine + shuffle_xor(mine, 16 >> step))
    if lane == 0:
        store_int(starts + 4 * expert, below)
        if expert == total - 1:
            store_int(starts + 4 * total, i32(below + mine))
    place = below
    for base in range(0, rows, WARP):
        hit = i32(0)
        if base + lane < rows and load_int(ids + 4 * (base + lane)) == expert:
            hit = i32(1)
        before = i32(hit)
        for step in range(5):  # inclusive prefix sum of the hits (Hillis and Steele 1986)
            away = 1 << step
            other = shuffle(before, max(lane - away, 0))
            if lane >= away:
                before = i32(before + other)
        if hit != 0:
            store_int(order + 4 * (place + before - 1), i32(base + lane))
        place = i32(place + shuffle(before, WARP - 1))


@kernel(THREADS)
def expert_sum(op: ExpertSum) -> None:
    """y = Σ weight · x over a token's experts, in the order of choice."""
    index = block_x() * THREADS + thread_x()
    if index < op.count:
        token, column = index // op.width, index % op.width
        total = f32(0)
        for k in range(op.used):
            row = token * op.used + k
            number = load_float(op.x + 4 * (row * op.width + column))
            total = fma(number, load_float(op.weights + 4 * row), total)
        store_float(op.y + 4 * index, total)
