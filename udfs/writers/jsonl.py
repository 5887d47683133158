"""A shard as JSON Lines, zstd: the same rows give the same bytes."""

import json

import pyarrow as pa

EXTENSION = "jsonl.zst"
BATCH_ROWS = 4_096


def write(rows: pa.Table, sink: pa.NativeFile) -> None:
    """Write one object a line, in the order of the rows; compressed at level 1, the only one Arrow's stream takes."""
    with pa.CompressedOutputStream(sink, "zstd") as out:
        for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
            lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in batch.to_pylist())
            out.write("".join(f"{line}\n" for line in lines).encode())
