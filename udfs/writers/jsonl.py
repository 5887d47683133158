"""A shard as JSON Lines, zstd: the same rows give the same bytes."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pyarrow as pa

from udfs.writers.export import Create, Export

ENDINGS = r"jsonl\.zst"
BATCH_ROWS = 4_096


@contextmanager
def writing(create: Create, schema: pa.Schema, export: Export) -> Iterator[Callable[[pa.Table], None]]:
    """A function that writes rows in their order, one object a line; compressed at level 1, the only one Arrow's stream
    takes."""
    with pa.CompressedOutputStream(create("jsonl.zst").sink, "zstd") as out:

        def write(rows: pa.Table) -> None:
            for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
                lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in batch.to_pylist())
                out.write("".join(f"{line}\n" for line in lines).encode())

        yield write


def row(source: pa.NativeFile, number: int) -> dict[str, Any] | None:
    """The row of a file at a 0-based place; None past the end. What stands before it is read, too."""
    lines = io.TextIOWrapper(pa.CompressedInputStream(source, "zstd"), encoding="utf-8")
    line = next(islice(lines, number, None), None)
    return None if line is None else json.loads(line)
