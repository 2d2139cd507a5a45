"""The records that host and kernels share: the step, the barrier, quantized activations."""

TOKENS, OUTPUTS = 0, 1  # how many of each this step has: a buffer's row count is one of these
TOKEN_IDS, POSITIONS, OUTPUT_ROWS = 2, 3, 4  # addresses of int32 arrays
TABLES = 5  # address of an address for each token: of its sequence's table of KV blocks
RUN_STARTS, RUNS = 6, 7  # a run is what stands together of a sequence: where each begins; how many
SLOTS = 8  # address of an address for each run: of what recurrent layers keep of its sequence
STEP_FIELDS = 9

GENERATION, ARRIVED = 0, 8  # the barrier, each field on a cache line of its own
STOP, STOPPED = 16, 17  # asked for by the host; decided by the last thread at a barrier
WAIT_KIND, WAIT_FUNCTION, WAIT_NUMBER = 24, 25, 26
TIMES, CLOCK = 27, 28  # where to write the time after each operator, 0 for nowhere; its C function
SYNC_FIELDS = 32

LINE = 64  # bytes of a cache line
HEADER_BYTES = 64  # before an operand record: the counter of the parts that threads have taken

FUTEX, YIELD = 1, 2  # WAIT_KIND: what a thread does when spinning takes too long

# 32 activations q · scale in 64 bytes: | q 32 signed | scale f32 | and what weights' offsets meet:
# the sum of q · scale negated, f32 | of q, i32 | of the first and the last 16 q, i32 | those scaled
ACTIVATION_BLOCK, ACTIVATION_BYTES = 32, 64
SCALE, MINUS_SCALED_SUM, MINUS_SUM = 32, 36, 40
MINUS_HALF_SUMS, MINUS_SCALED_HALF_SUMS = 44, 52

PANEL_ROWS = 16  # of a weight, one a lane

# operands of a product with packed weights; the second matrix is a gated one's, experts' come last
WEIGHT, BIAS, FACTOR, UP_WEIGHT, UP_BIAS, UP_FACTOR = range(6)  # addresses; 0 for none
MATRIX_BYTES, PANEL_BYTES, COLUMNS, WEIGHT_ROWS = range(6, 10)
X, X_ROW_BYTES, Y, ADDED, COUNT_FIELD, COUNT_MULTIPLE = range(10, 16)
SCRATCH, SCRATCH_BYTES = range(16, 18)
GROUPED_ROWS, GROUP_STARTS, EXPERTS, ROWS_PER_X = range(18, 22)

# an unpacked part of a panel: 32 levels and four factors a row; so many fill the first cache
PART_BYTES, PARTS_AT_ONCE = 512 + 4 * 64, 16
# a thread's scratch: the parts of two panels, then two panels' totals of each token
UNPACKED_BYTES, TOTAL_BYTES = 2 * PARTS_AT_ONCE * PART_BYTES, 128

TILE_LIMIT = 16  # queries that attention computes at once, at most: a rung's tile, a power of two
