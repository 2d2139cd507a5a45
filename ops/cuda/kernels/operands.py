"""What kernels are launched with: records that the lowering fills and the kernels read.

Addresses are of float32 arrays where nothing else is said; an address of 0 means that there is no
such array. T tokens, H query heads, K kv heads, d head width.
"""

from typing import NamedTuple

from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int


class Norm(NamedTuple):
    """Of norms over rows of `width`, or over stretches of rows."""

    x: Address  # (rows, width)
    y: Address  # (rows, width), or rows of quantized activations
    weight: Address  # (weight_rows, width): row n of x takes row n % weight_rows
    bias: Address  # as `weight`, of layer norms
    weight_rows: Int
    width: Int
    eps: Float


class ScaleStretches(NamedTuple):
    """Of `elementwise.scale_stretches`."""

    x: Address
    factors: Address  # stretch n of x takes factor n % factor_count
    y: Address
    width: Int  # of a stretch
    factor_count: Int
    count: Int  # of elements


class CopyColumns(NamedTuple):
    """Of `elementwise.copy_columns`: the first `width` columns of each stretch."""

    x: Address  # the first column of the first stretch
    y: Address
    width: Int
    x_stretch: Int  # columns from one stretch to the next
    y_stretch: Int
    count: Int  # of elements copied


class Angles(NamedTuple):
    """Of `elementwise.angles`."""

    table: Address  # (T, pairs, 2): cosine and sine
    frequencies: Address  # (pairs,)
    positions: Address  # (T,) int32
    pairs: Int
    tokens: Int
    magnitude: Float


class Rope(NamedTuple):
    """Of `elementwise.rope`."""

    x: Address  # (T, heads·d)
    y: Address  # (T, heads·d)
    table: Address  # of Angles
    pairs: Int
    head_width: Int
    heads: Int
    interleaved: Int
    tokens: Int


class Temperature(NamedTuple):
    """x · (1 + scale · ln(1 + floor((position + offset) / period)))."""

    x: Address  # (T, width)
    y: Address  # (T, width)
    positions: Address  # (T,) int32
    width: Int
    count: Int  # T · width
    scale: Float
    period: Int
    offset: Int


class Route(NamedTuple):
    """Of `experts.route`."""

    logits: Address  # (T, total)
    bias: Address  # (total,): of the choice, not of the weights
    ids: Address  # (T, used) int32
    weights: Address  # (T, used)
    total: Int
    used: Int
    gating: Int  # one of `experts`
    normalize: Int
    scale: Float
    groups: Int
    used_groups: Int


class ExpertSum(NamedTuple):
    """Of `experts.expert_sum`."""

    x: Address  # (T, used, width)
    weights: Address  # (T, used)
    y: Address  # (T, width)
    width: Int
    used: Int
    count: Int  # T · width


class Pack(NamedTuple):
    """Of the kernels of `formats.packing`: rows of a file become panels."""

    source: Address  # the first panel's first row
    target: Address
    row_bytes: Int  # from one row of the source to the next
    rows: Int
    blocks: Int  # of 32 columns
    panel_bytes: Int


class Draw(NamedTuple):
    """Of `draw.draw`."""

    pairs: Address  # the largest logits in order, (key, id) int32 each
    settings: Address  # float64, laid out as `draw` says
    counts: Address  # int32: how many are drawn so far, and of how many largest
    ids: Address  # int32: the next step's token
    positions: Address  # int32: the next step's position
    drawn: Address  # int32: all tokens; -1 where a logit is NaN or infinite


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
    """A weight, or those of all experts in a row."""

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
