"""A shard as Parquet, zstd: the same rows give the same bytes."""

from typing import Any

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


def row(source: pa.NativeFile, number: int) -> dict[str, Any] | None:
    """The row of a file at a 0-based place, from its row group alone; None past the end."""
    file = pq.ParquetFile(source)
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if number < rows:
            return file.read_row_group(group).slice(number, 1).to_pylist()[0]
        number -= rows
    return None
