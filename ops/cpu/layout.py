"""The records that host and kernels share: the step and the barrier, as fields of 8 bytes."""

TOKENS, OUTPUTS = 0, 1  # how many of each this step has: a buffer's row count is one of these
TOKEN_IDS, POSITIONS, OUTPUT_ROWS = 2, 3, 4  # addresses of int32 arrays
TABLE = 5  # address of the KV blocks' addresses
STEP_FIELDS = 8

GENERATION, ARRIVED = 0, 8  # the barrier, each field on a cache line of its own
STOP, STOPPED = 16, 17  # asked for by the host; decided by the last thread at a barrier
WAIT_KIND, WAIT_FUNCTION, WAIT_NUMBER = 24, 25, 26
SYNC_FIELDS = 32

FUTEX, YIELD = 1, 2  # WAIT_KIND: what a thread does when spinning takes too long
