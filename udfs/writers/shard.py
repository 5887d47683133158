"""Shards of the mix -> their files, streamed from the worker to the target file system: a worker holds a row group.

The same rows give the same bytes, however they arrive in batches: they come sorted, a row group has a fixed number of rows,
the column types, codec and level are fixed, and nothing of the clock or the platform goes into a file. A retried task
overwrites what it wrote.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain, groupby, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from udfs.files import file_system
from udfs.writers import jsonl, mds, megatron, parquet
from udfs.writers.export import Export, File

WRITERS: dict[str, Any] = {"parquet": parquet, "jsonl": jsonl, "megatron": megatron, "mds": mds}
ROW_GROUP_ROWS = 32_768
RESULT = "shard int, format string, file string, rows long, tokens long, bytes long, sha256 string, raw_bytes long"
_RESULT_TYPES = [pa.int32(), pa.string(), pa.string(), *[pa.int64()] * 3, pa.string(), pa.int64()]


def file_name(shard: int, shards: int, kind: str, ending: str) -> str:
    """Such as parquet/part-00003-of-00008.parquet: a folder a format, so that readers can be given the folder."""
    return f"{kind}/part-{shard:05d}-of-{shards:05d}.{ending}"


def _bare(kind: pa.DataType) -> pa.DataType:
    """The type, all within it may be null."""
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", _bare(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _bare(f.type)) for f in kind])
    return kind


def _by_shard(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """Batches sorted by shard -> (shard, rows), cut where the shard changes; without the column, which the file's name
    tells."""
    for batch in batches:
        shard = batch.column("shard").to_numpy()
        rows = pa.Table.from_batches([batch]).drop_columns(["shard"])
        # Whether a column may be null, and comments, depend on where Spark has the rows from, and are in a Parquet file.
        rows = rows.cast(pa.schema([pa.field(f.name, _bare(f.type)) for f in rows.schema]))
        changes = np.flatnonzero(np.diff(shard)) + 1
        for first, end in pairwise([0, *changes.tolist(), len(shard)]):
            if end > first:
                yield int(shard[first]), rows.slice(first, end - first)


def _row_groups(pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Rows in their order as tables of ROW_GROUP_ROWS; the last may be shorter."""
    held: list[pa.Table] = []
    for piece in pieces:
        held.append(piece)
        while (rows := sum(map(len, held))) >= ROW_GROUP_ROWS:
            rest = len(held[-1]) - (rows - ROW_GROUP_ROWS)
            last = held.pop()
            yield pa.concat_tables([*held, last.slice(0, rest)]).combine_chunks()
            held = [last.slice(rest)] if rest < len(last) else []
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _write(export: Export, shard: int, groups: Iterator[pa.Table]) -> list[tuple[Any, ...]]:
    """Write the files of one shard; a RESULT row for each."""
    target, path = file_system(export.folder)
    files: list[File] = []
    first = next(groups)
    with ExitStack() as stack:

        def create(kind: str, ending: str) -> File:
            name = file_name(shard, export.shards, kind, ending)
            sink = stack.enter_context(target.open_output_stream(f"{path}/{name}", compression=None))
            files.append(File(kind, name, sink))
            return files[-1]

        writers = []
        for kind in export.formats:
            target.create_dir(f"{path}/{kind}", recursive=True)
            writers.append(stack.enter_context(WRITERS[kind].writing(partial(create, kind), first.schema, export)))
        for group in chain([first], groups):
            ended = [file for file in files if file.sink.closed]
            for write in writers:
                write(group)
            for file in files[:]:
                if file not in ended:
                    file.rows, file.tokens = (
                        file.rows + len(group),
                        file.tokens + pc.sum(group.column("tokens")).as_py(),
                    )
    return [(shard, f.kind, f.name, f.rows, f.tokens, *_lies(target, f"{path}/{f.name}"), f.raw_bytes) for f in files]


def _lies(target: fs.FileSystem, path: str) -> tuple[int, str]:
    """Bytes and sha256 of what really lies at a path."""
    with target.open_input_stream(path, compression=None) as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    return target.get_file_info(path).size, sha256


def shard_writer(export: Export) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow`: rows of whole shards, one after the other -> a RESULT row for each file."""

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        names = [column.split()[0] for column in RESULT.split(", ")]
        for shard, pieces in groupby(_by_shard(batches), key=lambda piece: piece[0]):
            found = _write(export, shard, _row_groups(rows for _, rows in pieces))
            columns = zip(*found, strict=True)
            arrays = [pa.array(c, t) for c, t in zip(columns, _RESULT_TYPES, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    return write
