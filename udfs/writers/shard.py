"""One shard of the mix -> its files, written straight from the worker to the target file system.

The same rows give the same bytes, whatever their order on arrival: rows are sorted, the column types, codec and level
are fixed, and nothing of the clock or the platform goes into a file. A retried task overwrites what it wrote.
"""

import hashlib
from collections.abc import Callable

import pyarrow as pa

from udfs.files import file_system
from udfs.writers import jsonl, parquet

WRITERS = {"parquet": parquet, "jsonl": jsonl}
RESULT = "shard int, format string, file string, rows long, tokens long, bytes long, sha256 string"
_RESULT_TYPES = [pa.int32(), pa.string(), pa.string(), pa.int64(), pa.int64(), pa.int64(), pa.string()]


def file_name(shard: int, shards: int, kind: str) -> str:
    """For example parquet/part-00003-of-00008.parquet: a folder a format, so that readers can be given the folder."""
    return f"{kind}/part-{shard:05d}-of-{shards:05d}.{WRITERS[kind].EXTENSION}"


def _exported(rows: pa.Table) -> pa.Table:
    """The rows as they go into every file: sorted, without `shard`, which the file's name tells."""
    rows = rows.drop_columns(["shard"]).replace_schema_metadata(None)
    text = rows.schema.get_field_index("text")  # 32-bit offsets would overflow at 2 GiB of text
    return rows.cast(rows.schema.set(text, pa.field("text", pa.large_string()))).sort_by("draft_id")


def shard_writer(folder: str, formats: list[str], shards: int) -> Callable[[pa.Table], pa.Table]:
    """A function for `applyInArrow`: the rows of one shard, held in memory whole -> one RESULT row for each file."""

    def write(rows: pa.Table) -> pa.Table:
        shard, tokens = rows.column("shard")[0].as_py(), sum(rows.column("tokens").to_pylist())
        exported = _exported(rows)
        target, path = file_system(folder)
        results = []
        for kind in formats:
            target.create_dir(f"{path}/{kind}", recursive=True)
            file = file_name(shard, shards, kind)
            with target.open_output_stream(f"{path}/{file}", compression=None) as sink:
                WRITERS[kind].write(exported, sink)
            with target.open_input_stream(f"{path}/{file}", compression=None) as source:  # what really lies there
                sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            size = target.get_file_info(f"{path}/{file}").size
            results.append((shard, kind, file, exported.num_rows, tokens, size, sha256))
        names = [column.split()[0] for column in RESULT.split(", ")]
        columns = zip(*results, strict=True)
        return pa.table([pa.array(c, t) for c, t in zip(columns, _RESULT_TYPES, strict=True)], names=names)

    return write
