"""What kernels are launched with: records that the lowering fills and the kernels read.

Addresses are of float32 arrays where nothing else is said; an address of 0 means that there is no
such array. T tokens, H query heads, K kv heads, d head width.
"""

from typing import NamedTuple

from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int


class CachePlace(NamedTuple):
    """Where the step's tokens are in the cache, and where a layer is in its blocks."""

    tables: Address  # (T,) int64: the address of each token's table of block addresses
    positions: Address  # (T,) int32; negative for padding rows
    keys: Address  # bytes from a block's start to the layer's keys
    values: Address


class HeadRows(NamedTuple):
    """What comes from the products, (T, heads·d), and where the queries go."""

    q: Address
    k: Address
    v: Address
    q_out: Address  # not q, if heads are rotated


class HeadNorms(NamedTuple):
    """RMS norms over a head's width."""

    q: Address  # (d,)
    k: Address  # (d,)
    eps: Float


class Rotation(NamedTuple):
    """A step's table of angles, as of the kernel `angles`: (T, pairs, 2)."""

    angles: Address
    pairs: Int  # 0: nothing is rotated
    interleaved: Int
    query: Int = 1  # 0: only keys are rotated


class NormRopeStore(NamedTuple):
    """Of `attention.heads.norm_rope_store`."""

    rows: HeadRows
    norms: HeadNorms
    rotation: Rotation
    cache: CachePlace
    tokens: Int
    query_heads: Int
    kv_heads: Int
    width: Int


class Attention(NamedTuple):
    """Of attention over the cache, whole or split."""

    q: Address  # (T, H·d)
    cache: CachePlace
    tiles: Address  # (tiles, 4) int32, see `attention.attend`
    query_heads: Int
    group: Int  # query heads a kv head
    width: Int
    window: Int  # positions that a token sees, its own included
    factor: Float  # of scores, which are to the base 2
    cap: Float  # 0: none


class WholeAttention(NamedTuple):
    """Of `attention.attend.attention_whole`."""

    attention: Attention
    y: Address  # (T, H·d)
    sinks: Address  # (H,)


class SplitAttention(NamedTuple):
    """Of `attention.attend.attention_split`."""

    attention: Attention
    scratch: Address  # (T, H, slots) records of partial results
    slots: Int


class MergeAttention(NamedTuple):
    """Of `attention.attend.attention_merge`."""

    scratch: Address  # as of SplitAttention
    y: Address  # (T, H·d)
    sinks: Address  # (H,)
    positions: Address  # (T,) int32
    query_heads: Int
    width: Int
    padded_width: Int
    window: Int
    slots: Int
    quantized: Address  # rows of quantized activations, written instead of y


class MatrixPlace(NamedTuple):
    """A weight, or those of all experts one behind the other."""

    weights: Address
    bias: Address  # (experts, R)
    factor: Address  # (experts,)


class PanelShape(NamedTuple):
    """How a matrix of panels lies in memory."""

    panel_bytes: Address
    matrix_bytes: Address  # from one expert to the next
    blocks: Int  # of 32 columns
    rows: Int


class JoinedOutputs(NamedTuple):
    """Where the rows of up to three joined matrices go."""

    y: Address
    y_second: Address
    y_third: Address
    rows_first: Int
    rows_second: Int


class FewProduct(NamedTuple):
    """Of products for few rows: y = W x (+ added), or gate(W x) · W' x."""

    matrix: MatrixPlace
    up: MatrixPlace  # W', of a gated product
    shape: PanelShape
    x: Address  # row r of y is made of row r // rows_per_x of x
    rows_per_x: Int
    count: Int  # rows of y
    ids: Address  # (count,) int32: each row's expert
    gate: Int  # one of `epilogue`
    added: Address  # (count, R)
    quantized: Address  # rows of quantized activations, written instead of y
    outputs: JoinedOutputs


class ManyProduct(NamedTuple):
    """Of products for many rows: y = W x (+ added), or gate(y) · W x."""

    matrix: MatrixPlace
    shape: PanelShape
    x: Address  # row r of y is made of row r // rows_per_x of x
    rows_per_x: Int
    count: Int  # rows of y
    order: Address  # int32: rows of y by their expert
    starts: Address  # (experts + 1,) int32: where each expert's rows begin in `order`
    gate: Int  # one of `epilogue`: y holds what the gate's matrix gave
    added: Address  # (count, R)
    y: Address  # (count, R)


class SingleProduct(NamedTuple):
    """Of products with float32 weights."""

    matrix: MatrixPlace  # (experts, R, columns)
    matrix_bytes: Address
    columns: Int
    rows: Int
    x: Address  # row r of y is made of row r // rows_per_x of x
    rows_per_x: Int
    ids: Address  # (count,) int32: each row's expert
    gate: Int  # as of ManyProduct
    added: Address
    y: Address
