"""A shard as Parquet, zstd: the same rows give the same bytes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from udfs.writers.export import Create, Export

ENDINGS = "parquet"
COMPRESSION_LEVEL = 9


@contextmanager
def writing(create: Create, schema: pa.Schema, export: Export) -> Iterator[Callable[[pa.Table], None]]:
    """A function that writes rows in their order, a row group a call; texts and ids, which never repeat, without a
    dictionary."""
    with pq.ParquetWriter(
        create("parquet").sink, schema, version="2.6", compression="zstd", compression_level=COMPRESSION_LEVEL,
        store_schema=False, use_dictionary=[name for name in schema.names if name not in ("document_id", "draft_ids", "text")],
    ) as file:  # fmt: skip
        yield file.write_table


def row(source: pa.NativeFile, number: int) -> dict[str, Any] | None:
    """The row of a file at a 0-based place, from its row group alone; None past the end."""
    file = pq.ParquetFile(source)
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if number < rows:
            return file.read_row_group(group).slice(number, 1).to_pylist()[0]
        number -= rows
    return None
