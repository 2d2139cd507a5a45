"""Draws a token on the card, so that the next pass does not wait for the host.

The same steps as the host's samplers top_k, top_p, min_p, temperature and the final draw, also in
float64 (lepton_cli/engine/sampling/candidates.py); the random numbers come from the host.
"""

from ops.cuda.kernels.intrinsics.arithmetic import (
    as_double,
    divided_double,
    double_of_int,
    double_of_upper,
    float_of,
    fma_double,
    nearest_to_double,
    plus_double,
    times_double,
)
from ops.cuda.kernels.intrinsics.kernel import kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_double,
    load_int,
    load_int2,
    reload_int,
    shared_load_double,
    shared_load_int,
    shared_store_double,
    shared_store_int,
    store_int,
)
from ops.cuda.kernels.intrinsics.primitives import Double, Int, i32
from ops.cuda.kernels.intrinsics.warps import barrier, shared_memory, thread_x
from ops.cuda.kernels.largest import KEPT, MOST
from ops.cuda.kernels.operands import Draw

LOG2_E, LN_2, LN_2_REST = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
LEAST_EXPONENT = -700.0  # below it e^a counts as 0

# bytes of the settings, float64; the random numbers are the last
TOP_P, LEAST_LOGIT, TEMPERATURE, UNIFORMS = 0, 8, 16, 24
LOGITS, WEIGHTS, IDS, SHARED = 0, 8 * KEPT, 16 * KEPT, 20 * KEPT + 16


def exponential_double(a: Double) -> Double:
    """e^a for a <= 0: a power of two times a polynomial on ±ln 2 / 2 (Taylor, to 1e-16)."""
    if not a >= LEAST_EXPONENT:  # also for NaN
        return 0.0
    power = nearest_to_double(times_double(a, LOG2_E))
    whole = double_of_int(power)
    r = fma_double(whole, -LN_2, a)
    r = fma_double(whole, -LN_2_REST, r)
    p = 1.6059043836821613e-10  # 1 / 13!
    p = fma_double(p, r, 2.08767569878681e-09)
    p = fma_double(p, r, 2.505210838544172e-08)
    p = fma_double(p, r, 2.755731922398589e-07)
    p = fma_double(p, r, 2.7557319223985893e-06)
    p = fma_double(p, r, 2.48015873015873e-05)
    p = fma_double(p, r, 0.0001984126984126984)
    p = fma_double(p, r, 0.001388888888888889)
    p = fma_double(p, r, 0.008333333333333333)
    p = fma_double(p, r, 0.041666666666666664)
    p = fma_double(p, r, 0.16666666666666666)
    p = fma_double(p, r, 0.5)
    p = fma_double(p, r, 1.0)
    p = fma_double(p, r, 1.0)
    return times_double(p, double_of_upper(i32((power + 1023) << 20)))


@kernel(KEPT)
def draw(op: Draw) -> None:
    """One thread per candidate. The token is written to drawn[so far] and ids[0].

    positions[0] grows by one. `settings` are float64: | top_p | what a logit may lie below the
    largest | temperature | random numbers |. drawn[so far] is -1 where a logit is NaN or infinite.
    """
    shared, t = shared_memory(), thread_x()
    so_far, most = reload_int(op.counts), load_int(op.counts + 4)
    key, number = load_int2(op.pairs + 8 * t)
    bits = key
    if key < 0:
        bits = i32(key ^ MOST)
    shared_store_double(shared + LOGITS + 8 * t, as_double(float_of(bits)))
    shared_store_int(shared + IDS + 4 * t, number)
    barrier()
    largest = shared_load_double(shared + LOGITS)
    mine = shared_load_double(shared + LOGITS + 8 * t)
    below = plus_double(mine, -largest)
    weight = exponential_double(below)
    if t >= most or bits == -0x800000:  # -inf
        weight = 0.0
    shared_store_double(shared + WEIGHTS + 8 * t, weight)
    barrier()
    kept = stays(weight, below, op)
    weight = 0.0
    if kept != 0:
        weight = at_temperature(mine, largest, op)
    barrier()
    shared_store_double(shared + WEIGHTS + 8 * t, weight)
    barrier()
    reached = reaches(weight, number, so_far, op)
    barrier()
    shared_store_int(shared + LOGITS + 4 * t, reached)
    barrier()
    if t == 0:
        token = least_reached(number)
        result = token
        if bits >= 0x7F800000 or bits == -0x800000:  # NaN or infinite
            token, result = i32(0), i32(-1)
        store_int(op.drawn + 4 * so_far, result)
        store_int(op.ids, token)
        store_int(op.positions, i32(reload_int(op.positions) + 1))
        store_int(op.counts, i32(so_far + 1))


def stays(weight: Double, below: Double, op: Draw) -> Int:
    """Whether min_p and top_p keep this thread's candidate, `below` the largest logit."""
    whole, before = 0.0, 0.0
    for n in range(KEPT):
        one = shared_load_double(shared_memory() + WEIGHTS + 8 * n)
        whole = plus_double(whole, one)
        if n < thread_x():
            before = plus_double(before, one)
    likely = below >= load_double(op.settings + LEAST_LOGIT)
    within = thread_x() == 0 or divided_double(before, whole) < load_double(op.settings + TOP_P)
    if weight > 0.0 and likely and within:
        return i32(1)
    return i32(0)


def at_temperature(logit: Double, largest: Double, op: Draw) -> Double:
    """The candidate's weight, 1 for the largest logit."""
    temperature = load_double(op.settings + TEMPERATURE)
    top = divided_double(largest, temperature)
    return exponential_double(plus_double(divided_double(logit, temperature), -top))


def reaches(weight: Double, number: Int, so_far: Int, op: Draw) -> Int:
    """Whether the weights of all ids up to this one exceed the random share of their sum."""
    total, up_to = 0.0, 0.0
    for n in range(KEPT):
        one = shared_load_double(shared_memory() + WEIGHTS + 8 * n)
        total = plus_double(total, one)
        if shared_load_int(shared_memory() + IDS + 4 * n) <= number:
            up_to = plus_double(up_to, one)
    wanted = times_double(load_double(op.settings + UNIFORMS + 8 * so_far), total)
    if weight > 0.0 and up_to > wanted:
        return i32(1)
    return i32(0)


def least_reached(likeliest: Int) -> Int:
    """The least id that reaches the random number; the likeliest where rounding leaves none."""
    found = i32(MOST)
    for n in range(KEPT):
        one = shared_load_int(shared_memory() + IDS + 4 * n)
        if shared_load_int(shared_memory() + LOGITS + 4 * n) != 0 and one < found:
            found = one
    if found == MOST:
        return likeliest
    return found
