"""The records that host and kernels share: the step, the barrier, quantized activations."""

TOKENS, OUTPUTS = 0, 1  # how many of each this step has: a buffer's row count is one of these
TOKEN_IDS, POSITIONS, OUTPUT_ROWS = 2, 3, 4  # addresses of int32 arrays
TABLES = 5  # address of int64 (T,): the address of each token's table of KV blocks
RUN_STARTS, RUNS = 6, 7  # a run is the tokens of one sequence: int32 (runs + 1,); their number
SLOTS = 8  # address of int64 (runs,): the address of each sequence's recurrent states
ENDS = 9  # address of int32 (T,): what lies behind the last position of each token's run
STEP_FIELDS = (
    10  # behind them lie those of the rows whose logits are wanted, as a step of their own
)

GENERATION, ARRIVED = 0, 8  # the barrier; each field has a cache line of its own
STOP, STOPPED = 16, 17  # requested by the host; decided by the last thread at a barrier
WAIT_KIND, WAIT_FUNCTION, WAIT_NUMBER = 24, 25, 26
TIMES, CLOCK = 27, 28  # where times after each operator are written, or 0; the C function for it
SYNC_FIELDS = 32

LINE = 64  # bytes of a cache line
HEADER_BYTES = 64  # before an operand record: the counter of claimed parts

FUTEX, YIELD = 1, 2  # WAIT_KIND: how a thread waits after it has spun long enough

# 32 activations q · scale in 64 bytes: | q 32 signed | scale f32 | negated sums |, that offsets and
# minima of weights multiply: | q · scale f32 | q i32 | the first, the last 16 q i32 | scaled f32 |
ACTIVATION_BLOCK, ACTIVATION_BYTES = 32, 64
SCALE, MINUS_SCALED_SUM, MINUS_SUM = 32, 36, 40
MINUS_HALF_SUMS, MINUS_SCALED_HALF_SUMS = 44, 52

# activations in BF16: for each 32 columns one or more terms of 64 bytes; zeros fill the last ones
BF16_COLUMNS, BF16_BYTES = 32, 64

PANEL_ROWS = 16  # of a weight, one per lane

# operands of a product with packed weights; UP_* of a gated product, the last row of experts
WEIGHT, BIAS, FACTOR, UP_WEIGHT, UP_BIAS, UP_FACTOR = range(6)  # addresses; 0 for none
MATRIX_BYTES, PANEL_BYTES, COLUMNS, WEIGHT_ROWS = range(6, 10)
X, X_ROW_BYTES, Y, ADDED, COUNT_FIELD, COUNT_MULTIPLE = range(10, 16)
SCRATCH, SCRATCH_BYTES = range(16, 18)
GROUPED_ROWS, GROUP_STARTS, EXPERTS, ROWS_PER_X = range(18, 22)

# an unpacked part of a panel: 32 levels and four factors per row; this many fit the L1 cache
PART_BYTES, PARTS_AT_ONCE = 512 + 4 * 64, 16
# a thread's scratch: the parts of two panels, then two panels' totals of each token
UNPACKED_BYTES, TOTAL_BYTES = 2 * PARTS_AT_ONCE * PART_BYTES, 128

# a thread's scratch on a rung with matrix tiles: the parts of several pairs of panels, the totals
# of their rows, the activations of a block of rows, part by part, and twice the sums of a part,
# one of which the tiles write while the other is scaled
BLOCK_TOKENS, ITEMS_AT_ONCE, MOST_ROWS = 32, 4, 512
ITEMS_UNPACKED_BYTES = ITEMS_AT_ONCE * UNPACKED_BYTES
ITEMS_TOTAL_BYTES = ITEMS_AT_ONCE * MOST_ROWS * TOTAL_BYTES
BLOCK_ACTIVATION_BYTES = BLOCK_TOKENS * ACTIVATION_BYTES  # of a part
HALF_SUM_BYTES = BLOCK_TOKENS * TOTAL_BYTES  # of the first or last 16 columns of a part, or of all
PART_SUM_BYTES = 2 * HALF_SUM_BYTES
BLOCK_BYTES = PARTS_AT_ONCE * BLOCK_ACTIVATION_BYTES + 2 * PART_SUM_BYTES
MATRIX_SCRATCH_BYTES = ITEMS_UNPACKED_BYTES + ITEMS_TOTAL_BYTES + BLOCK_BYTES

LARGEST = 64  # how many logits of a row are ranked for the host


def maxima_room(width: int) -> int:
    """How many float32 a thread needs to rank a row of logits: their blocks, and a register."""
    return width // 64 + 32


TILE_LIMIT = 16  # the most queries of a rung's attention tile, which is a power of two
# what attention knows of a query: the range of positions it attends to, its own, its head (int32),
# and its head's slope (float32)
QUERY_FIRST, QUERY_STOP, QUERY_POSITION, QUERY_HEAD, QUERY_SLOPE, QUERY_BYTES = range(0, 24, 4)
