"""One shard of the mix -> its files, written straight from the worker to the target file system.

The same rows give the same bytes, whatever their order on arrival: rows are sorted, the column types, codec and level
are fixed, and nothing of the clock or the platform goes into a file. A retried task overwrites what it wrote.
"""

import hashlib
import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from udfs.files import file_system

EXTENSIONS = {"parquet": "parquet", "jsonl": "jsonl.zst"}
ROW_GROUP_ROWS = 65_536
BATCH_ROWS = 4_096
PARQUET_LEVEL = 9
RESULT = "shard int, format string, file string, rows long, tokens long, bytes long, sha256 string"


def file_name(shard: int, shards: int, kind: str) -> str:
    """For example parquet/part-00003-of-00008.parquet: a folder a format, so that readers can be given the folder."""
    return f"{kind}/part-{shard:05d}-of-{shards:05d}.{EXTENSIONS[kind]}"


def _write_parquet(rows: pa.Table, sink: pa.NativeFile) -> None:
    pq.write_table(
        rows, sink, version="2.6", compression="zstd", compression_level=PARQUET_LEVEL, row_group_size=ROW_GROUP_ROWS,
        use_dictionary=[n for n in rows.schema.names if n not in ("draft_id", "text")], store_schema=False,
    )  # fmt: skip


def _write_jsonl(rows: pa.Table, sink: pa.NativeFile) -> None:
    with pa.CompressedOutputStream(sink, "zstd") as out:  # Arrow's level, 1: it takes no other here
        for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
            lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in batch.to_pylist())
            out.write("".join(f"{line}\n" for line in lines).encode())


def shard_writer(folder: str, formats: list[str], shards: int) -> Callable[[pa.Table], pa.Table]:
    """A function for `applyInArrow`: the rows of one shard -> one RESULT row for each file written.

    A shard is held in memory whole. The column `shard` is not exported: the file's name says it.
    """

    def write(rows: pa.Table) -> pa.Table:
        shard = rows.column("shard")[0].as_py()
        tokens = sum(rows.column("tokens").to_pylist())
        rows = rows.drop_columns(["shard"]).replace_schema_metadata(None)
        text = rows.schema.get_field_index("text")  # 32-bit offsets would overflow at 2 GiB of text
        rows = rows.cast(rows.schema.set(text, pa.field("text", pa.large_string()))).sort_by("draft_id")
        target, path = file_system(folder)
        results = []
        for kind in formats:
            target.create_dir(f"{path}/{kind}", recursive=True)
            file = file_name(shard, shards, kind)
            with target.open_output_stream(f"{path}/{file}", compression=None) as sink:
                (_write_parquet if kind == "parquet" else _write_jsonl)(rows, sink)
            with target.open_input_stream(f"{path}/{file}", compression=None) as source:  # what really lies there
                sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            size = target.get_file_info(f"{path}/{file}").size
            results.append((shard, kind, file, rows.num_rows, tokens, size, sha256))
        names = [column.split()[0] for column in RESULT.split(", ")]
        types = [pa.int32(), *[pa.string()] * 2, *[pa.int64()] * 3, pa.string()]
        return pa.table([pa.array(v, t) for v, t in zip(zip(*results, strict=True), types, strict=True)], names=names)

    return write
