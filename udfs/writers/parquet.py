"""A shard as Parquet, zstd: the same rows give the same bytes."""

import pyarrow as pa
import pyarrow.parquet as pq

EXTENSION = "parquet"
ROW_GROUP_ROWS = 65_536
COMPRESSION_LEVEL = 9


def write(rows: pa.Table, sink: pa.NativeFile) -> None:
    """Write rows in their order; texts and ids, which never repeat, without a dictionary."""
    pq.write_table(
        rows, sink, version="2.6", compression="zstd", compression_level=COMPRESSION_LEVEL, store_schema=False,
        row_group_size=ROW_GROUP_ROWS, use_dictionary=[n for n in rows.schema.names if n not in ("draft_id", "text")],
    )  # fmt: skip
