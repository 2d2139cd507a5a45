"""Mixtures of experts: routing, grouping rows by expert, summing results."""

from ops.cuda.kernels.intrinsics.arithmetic import (
    divided,
    exponential,
    fma,
    greater,
    lesser,
    plus,
    root,
    times,
)
from ops.cuda.kernels.intrinsics.functions import sigmoid, softplus
from ops.cuda.kernels.intrinsics.kernel import kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_float,
    load_int,
    shared_load_float,
    shared_store_float,
    store_float,
    store_int,
)
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Float, Int, f32, i32
from ops.cuda.kernels.intrinsics.warps import (
    block_x,
    shared_memory,
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
SOFTMAX, SIGMOID, SOFTMAX_OF_CHOSEN, SQRT_SOFTPLUS = range(4)
GATINGS = {
    "softmax": SOFTMAX,
    "sigmoid": SIGMOID,
    "softmax_of_chosen": SOFTMAX_OF_CHOSEN,
    "sqrt_softplus": SQRT_SOFTPLUS,
}
LOWEST = -3.4028234663852886e38


def route_bytes(total: int, used: int, groups: int) -> int:
    """Shared memory of `route`: | scores | with the bias | sums of groups | chosen |"""
    return 4 * (2 * total + groups + used)


@kernel(WARP)
def route(op: Route) -> None:
    """One warp per token: the best experts one after the other, the lower id in a tie."""
    lane, scores = thread_x(), shared_memory()
    wanted = scores + 4 * op.total
    sums = wanted + 4 * op.total
    chosen = sums + 4 * op.groups
    ids, weights = op.ids + 4 * block_x() * op.used, op.weights + 4 * block_x() * op.used
    store_scores(op.logits + 4 * block_x() * op.total, scores, wanted, op)
    warp_barrier()
    if op.groups > 1:
        exclude_groups(wanted, sums, op)
    for k in range(op.used):
        best = best_expert(wanted, op.total)
        if lane == best % WARP:
            shared_store_float(wanted + 4 * best, f32(LOWEST))
            shared_store_float(chosen + 4 * k, shared_load_float(scores + 4 * best))
        if lane == 0:
            store_int(ids + 4 * k, best)
    warp_barrier()
    largest = f32(LOWEST)
    for k in range(op.used):
        largest = greater(largest, shared_load_float(chosen + 4 * k))
    total = f32(0)
    for k in range(op.used):
        total = plus(total, share_of(shared_load_float(chosen + 4 * k), op.gating, largest))
    divisor = f32(1)
    if op.gating == SOFTMAX_OF_CHOSEN:
        divisor = total
    elif op.normalize != 0:
        divisor = greater(total, f32(6.1e-5))
    for k in range(lane, op.used, WARP):
        share = share_of(shared_load_float(chosen + 4 * k), op.gating, largest)
        store_float(weights + 4 * k, times(divided(share, divisor), op.scale))


def store_scores(logits: Address, scores: Int, wanted: Int, op: Route) -> None:
    """What the logits become by the gating, and that with the bias."""
    lane = thread_x()
    largest, whole = f32(LOWEST), f32(0)
    for n in range(lane, op.total, WARP):
        largest = greater(largest, load_float(logits + 4 * n))
    largest = warp_maximum(largest)
    for n in range(lane, op.total, WARP):
        score = load_float(logits + 4 * n)
        if op.gating == SOFTMAX:
            score = exponential(plus(score, -largest))
        elif op.gating == SIGMOID:
            score = sigmoid(score)
        elif op.gating == SQRT_SOFTPLUS:
            score = root(softplus(score))
        whole = plus(whole, score)
        shared_store_float(scores + 4 * n, score)
    whole = warp_sum(whole)
    for n in range(lane, op.total, WARP):  # each lane those that it stored
        score = shared_load_float(scores + 4 * n)
        if op.gating == SOFTMAX:
            score = divided(score, whole)
            shared_store_float(scores + 4 * n, score)
        if op.bias != 0:
            score = plus(score, load_float(op.bias + 4 * n))
        shared_store_float(wanted + 4 * n, score)


def exclude_groups(wanted: Int, sums: Int, op: Route) -> None:
    """Experts of other groups than the best, by their two best, are not to be chosen."""
    lane, size = thread_x(), op.total // op.groups
    for group in range(lane, op.groups, WARP):
        first, second = f32(LOWEST), f32(LOWEST)
        for n in range(group * size, (group + 1) * size):
            score = shared_load_float(wanted + 4 * n)
            second = greater(second, lesser(first, score))
            first = greater(first, score)
        if size == 1:
            second = f32(0)
        shared_store_float(sums + 4 * group, plus(first, second))
    warp_barrier()
    for group in range(lane, op.groups, WARP):
        own, better = shared_load_float(sums + 4 * group), i32(0)
        for other in range(op.groups):
            sum_of_other = shared_load_float(sums + 4 * other)
            if sum_of_other > own or (sum_of_other == own and other < group):
                better = i32(better + 1)
        if better >= op.used_groups:
            for n in range(group * size, (group + 1) * size):
                shared_store_float(wanted + 4 * n, f32(LOWEST))
    warp_barrier()


def best_expert(wanted: Int, total: Int) -> Int:
    """The lowest id of the largest, in all lanes."""
    best, where = f32(LOWEST), i32(total)
    for n in range(thread_x(), total, WARP):
        score = shared_load_float(wanted + 4 * n)
        if score > best:
            best, where = score, i32(n)
    for step in range(5):
        other = shuffle_xor_float(best, 16 >> step)
        place = shuffle_xor(where, 16 >> step)
        if other > best or (other == best and place < where):
            best, where = other, place
    return i32(min(where, total - 1))  # if the logits are NaN, none was the best


def share_of(score: Float, gating: Int, largest: Float) -> Float:
    """A chosen expert's share, before it is divided by their sum."""
    if gating == SOFTMAX_OF_CHOSEN:
        return exponential(plus(score, -largest))
    return score


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
