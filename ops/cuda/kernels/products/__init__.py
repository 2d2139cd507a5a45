"""Products of weights with activations, y = s·W x + b, for few tokens and for many.

The promise: a row's result has the same bits in all kernels of a format. A row is summed
in 16 chains (chain c takes the units c, c + 16, ...), each unit after the other, and the chains are
added in their order. For few tokens each warp sums a chain; for many a warp sums all chains of its
panel. What differs between the formats is in `packed` and `floats`.
"""
