"""Searches for the scale of a sub-block, in 16 lanes: which one loses least, weighted.

A scale is tried by rounding to its levels l and fitting again: A = Σ w x l, B = Σ w l², scale A/B,
and the loss falls as A²/B grows. Levels are kept as what they were rounded by.
"""

import numpy as np

from ops.cpu.kernels.encoding.lanes import (
    EPSILON,
    ONE,
    REGISTER,
    ZERO,
    both,
    equal,
    largest_of,
    level,
    nearest_number,
    negative,
    spread,
)
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import store_f32 as store_number
from ops.cpu.kernels.simd.operations import (
    absolute,
    add,
    choose,
    divide,
    less,
    load_f32,
    maximum,
    minimum,
    multiply,
    store,
    store_i8,
    subtract,
    to_int,
)

TENTH, BYTE = np.float32(0.1), 255


@device
def _fit(x, w, n, inverse, N):
    """A and B of the levels of 1/scale."""
    products, squares = spread(ZERO), spread(ZERO)
    for i in range(n):
        value, weight = load_f32(x + REGISTER * i), load_f32(w + REGISTER * i)
        q = level(multiply(inverse, value), -N, N - 1)
        products = add(products, multiply(multiply(weight, value), q))
        squares = add(squares, multiply(multiply(weight, q), q))
    return products, squares


@device
def _ratio(products, squares):
    return choose(equal(squares, ZERO), ZERO, divide(products, squares))


@device
def symmetric(x, w, n, N, levels):
    """Levels -N .. N - 1, stored from 0 on as bytes (n, 16); returns the scale.

    The largest weight gets the level -N, or one up to 0.9 beside it.
    """
    most, signed = largest_of(x, n)
    chosen = divide(np.float32(-N), signed)
    products, squares = _fit(x, w, n, chosen, N)
    scale = _ratio(products, squares)
    best = multiply(scale, products)
    for trial in range(-9, 10):
        if trial != 0:
            size = np.float32(N) + TENTH * np.float32(trial)
            inverse = divide(-size, signed)
            products, squares = _fit(x, w, n, inverse, N)
            larger = less(multiply(best, squares), multiply(products, products))
            better = both(less(ZERO, squares), larger)
            scale = choose(better, divide(products, squares), scale)
            best = choose(better, multiply(scale, products), best)
            chosen = choose(better, inverse, chosen)
    empty = less(most, EPSILON)
    for i in range(n):
        q = add(level(multiply(chosen, load_f32(x + REGISTER * i)), -N, N - 1), np.float32(N))
        store_i8(levels + 16 * i, to_int(choose(empty, ZERO, q)))
    return choose(empty, ZERO, scale)


@device
def symmetric_by_steps(x, w, n, N, levels, room):
    """As `symmetric`, but single levels are changed, up to five times each, where that helps."""
    most, signed = largest_of(x, n)
    inverse = divide(np.float32(-N), signed)
    products, squares = spread(ZERO), spread(ZERO)
    for i in range(n):
        value, weight = load_f32(x + REGISTER * i), load_f32(w + REGISTER * i)
        q = level(multiply(inverse, value), -N, N - 1)
        store(room + REGISTER * i, q)
        products = add(products, multiply(multiply(weight, value), q))
        squares = add(squares, multiply(multiply(weight, q), q))
    for _ in range(5):
        for i in range(n):
            value, weight = load_f32(x + REGISTER * i), load_f32(w + REGISTER * i)
            q = load_f32(room + REGISTER * i)
            a = subtract(products, multiply(multiply(weight, value), q))
            b = subtract(squares, multiply(multiply(weight, q), q))
            new = level(divide(multiply(value, b), a), -N, N - 1)
            new_a = add(a, multiply(multiply(weight, value), new))
            new_b = add(b, multiply(multiply(weight, new), new))
            before = multiply(multiply(products, products), new_b)
            larger = less(before, multiply(multiply(new_a, new_a), squares))
            other = less(ZERO, absolute(subtract(new, q)))
            better = both(both(less(ZERO, a), less(ZERO, new_b)), both(other, larger))
            products, squares = choose(better, new_a, products), choose(better, new_b, squares)
            store(room + REGISTER * i, choose(better, new, q))
    empty = less(most, EPSILON)
    for i in range(n):
        q = add(load_f32(room + REGISTER * i), np.float32(N))
        store_i8(levels + 16 * i, to_int(choose(empty, ZERO, q)))
    return choose(empty, ZERO, _ratio(products, squares))


@device
def _affine_error(x, w, n, inverse, lowest, N, scale, shift, absolute_error):
    """Of scale · l + shift, where l is the level of (x - lowest) · inverse."""
    error = spread(ZERO)
    for i in range(n):
        value, weight = load_f32(x + REGISTER * i), load_f32(w + REGISTER * i)
        q = level(multiply(inverse, subtract(value, lowest)), 0, N)
        difference = subtract(add(multiply(scale, q), shift), value)
        if absolute_error:
            error = add(error, multiply(weight, absolute(difference)))
        else:
            error = add(error, multiply(weight, multiply(difference, difference)))
    return error


@device
def affine(x, w, n, N, first, step, steps, absolute_error, levels):
    """Levels 0 .. N of scale · l - lowest; returns the scale and the lowest, which is not negative.

    N is replaced by N + first, N + first + step, ... in turn.
    """
    value, weights = load_f32(x), load_f32(w)
    low, high, sum_x = value, value, multiply(weights, value)
    for i in range(1, n):
        value, weight = load_f32(x + REGISTER * i), load_f32(w + REGISTER * i)
        low, high = minimum(value, low), maximum(value, high)
        weights, sum_x = add(weights, weight), add(sum_x, multiply(weight, value))
    low = choose(less(ZERO, low), ZERO, low)
    varied, at_first = less(low, high), low
    chosen, chosen_low = divide(np.float32(N), subtract(high, low)), low
    scale = divide(ONE, chosen)
    best = _affine_error(x, w, n, chosen, low, N, scale, low, absolute_error)
    for trial in range(steps + 1):
        size = first + step * np.float32(trial) + np.float32(N)
        inverse = divide(size, subtract(high, low))
        sum_l, squares, products = spread(ZERO), spread(ZERO), spread(ZERO)
        for i in range(n):
            value, weight = load_f32(x + REGISTER * i), load_f32(w + REGISTER * i)
            q = level(multiply(inverse, subtract(value, low)), 0, N)
            weighted = multiply(weight, q)
            sum_l = add(sum_l, weighted)
            squares = add(squares, multiply(weighted, q))
            products = add(products, multiply(weighted, value))
        D = subtract(multiply(weights, squares), multiply(sum_l, sum_l))
        new = divide(subtract(multiply(weights, products), multiply(sum_x, sum_l)), D)
        shift = divide(subtract(multiply(squares, sum_x), multiply(sum_l, products)), D)
        above = less(ZERO, shift)
        new = choose(above, divide(products, squares), new)
        shift = choose(above, ZERO, shift)
        error = _affine_error(x, w, n, inverse, low, N, new, shift, absolute_error)
        better = both(less(ZERO, D), less(error, best))
        best, scale = choose(better, error, best), choose(better, new, scale)
        chosen, chosen_low = choose(better, inverse, chosen), choose(better, low, chosen_low)
        low = choose(better, shift, low)
    for i in range(n):
        q = level(multiply(chosen, subtract(load_f32(x + REGISTER * i), chosen_low)), 0, N)
        store_i8(levels + 16 * i, to_int(choose(varied, q, ZERO)))
    return choose(varied, scale, ZERO), negative(choose(varied, low, at_first))


@device
def _positive_fit(x, w, n, inverse, N, levels):
    """A and B of the levels of 1/scale, which are kept."""
    products, squares = ZERO, ZERO
    for i in range(n):
        value, weight = load_number(x, i), load_number(w, i)
        q = min(N, nearest_number(inverse * value))
        store_number(levels, i, np.float32(q & BYTE))
        products += weight * value * np.float32(q)
        squares += weight * np.float32(q) * np.float32(q)
    return products, squares


@device
def _positive_error(x, w, n, inverse, highest, mask):
    scale, error = ONE / inverse, ZERO
    for i in range(n):
        value = load_number(x, i)
        q = min(highest, nearest_number(inverse * value)) & mask
        difference = value - scale * np.float32(q)
        error += load_number(w, i) * difference * difference
    return error


@device
def positive(x, w, n, N, levels):
    """Levels 0 .. N of n numbers that should not be negative (scales, minima); their scale.

    Levels are stored as floats. One below 0 becomes 255 and less, as the reference keeps bytes.
    """
    most = ZERO
    for i in range(n):
        most = max(most, load_number(x, i))
    if most < EPSILON:
        for i in range(n):
            store_number(levels, i, ZERO)
        return ZERO
    chosen = np.float32(N) / most
    best = _positive_error(x, w, n, chosen, N, BYTE)
    for trial in range(-4, 5):
        if trial != 0:
            inverse = (TENTH * np.float32(trial) + np.float32(N)) / most
            error = _positive_error(x, w, n, inverse, N, -1)
            if error < best:
                best, chosen = error, inverse
    products, squares = _positive_fit(x, w, n, chosen, N, levels)
    return _improved(x, w, n, N, levels, products, squares)


@device
def _improved(x, w, n, N, levels, products, squares):
    """The scale after single levels were changed, up to five times each, where that helps."""
    for _ in range(5):
        changed = False
        for i in range(n):
            value, weight, q = load_number(x, i), load_number(w, i), load_number(levels, i)
            a, b = products - weight * value * q, squares - weight * q * q
            if a > ZERO and b > ZERO:
                level_ = min(N, nearest_number(value * b / a))
                new = np.float32(level_)
                if new != q:
                    a += weight * value * new
                    b += weight * new * new
                    if a * a * squares > products * products * b:
                        store_number(levels, i, np.float32(level_ & BYTE))
                        products, squares, changed = a, b, True
        if not changed:
            break
    return products / squares if squares > ZERO else ZERO
