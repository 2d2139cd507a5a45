"""The loop over rows that all encoders share."""

from ops.cpu.kernels.simd.memory import load_i64


def for_each_row(encode_row):
    def encode(op, step, thread, threads):
        """(rows, columns) f32 -> (rows, row bytes)."""
        source, importance, out = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        rows, columns, row_bytes = load_i64(op, 3), load_i64(op, 4), load_i64(op, 5)
        scratch, tables = load_i64(op, 6), load_i64(op, 7)
        for r in range(rows):
            row, bytes_ = source + 4 * columns * r, out + row_bytes * r
            encode_row(row, importance, columns, bytes_, scratch, tables)

    return encode
