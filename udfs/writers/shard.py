"""Shards of the mix -> their files, streamed from the worker to the target file system: a worker holds a row group.

The same rows give the same bytes, however they arrive in batches: they come sorted, a row group has a fixed number of rows,
the column types, codec and level are fixed, and nothing of the clock or the platform goes into a file. A retried task
overwrites what it wrote.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, groupby, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from udfs.files import file_system
from udfs.writers import jsonl, megatron, parquet
from udfs.writers.export import Export

WRITERS: dict[str, Any] = {"parquet": parquet, "jsonl": jsonl, "megatron": megatron}
ROW_GROUP_ROWS = 32_768
RESULT = "shard int, format string, file string, rows long, tokens long, bytes long, sha256 string"
_RESULT_TYPES = [pa.int32(), pa.string(), pa.string(), pa.int64(), pa.int64(), pa.int64(), pa.string()]


def file_names(shard: int, shards: int, kind: str) -> dict[str, str]:
    """Extension -> file, such as parquet/part-00003-of-00008.parquet: a folder a format, so that readers can be given the
    folder."""
    return {end: f"{kind}/part-{shard:05d}-of-{shards:05d}.{end}" for end in WRITERS[kind].EXTENSIONS}


def _by_shard(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """Batches sorted by shard -> (shard, rows), cut where the shard changes; without the column, which the file's name
    tells."""
    for batch in batches:
        shard = batch.column("shard").to_numpy()
        rows = pa.Table.from_batches([batch]).drop_columns(["shard"])
        # Whether a column may be null, and comments, depend on where Spark has the rows from, and are in a Parquet file.
        rows = rows.cast(pa.schema([pa.field(f.name, f.type) for f in rows.schema]))
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
    names = {kind: file_names(shard, export.shards, kind) for kind in export.formats}
    first = next(groups)
    rows = tokens = 0
    with ExitStack() as stack:
        writers = []
        for kind, files in names.items():
            target.create_dir(f"{path}/{kind}", recursive=True)
            sinks = {
                end: stack.enter_context(target.open_output_stream(f"{path}/{file}", compression=None))
                for end, file in files.items()
            }
            writers.append(stack.enter_context(WRITERS[kind].writing(sinks, first.schema, export)))
        for group in chain([first], groups):
            rows, tokens = rows + len(group), tokens + pc.sum(group.column("tokens")).as_py()
            for write in writers:
                write(group)
    found: list[tuple[Any, ...]] = []
    for kind, file in ((kind, file) for kind, files in names.items() for file in files.values()):
        with target.open_input_stream(f"{path}/{file}", compression=None) as source:  # what really lies there
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        found.append((shard, kind, file, rows, tokens, target.get_file_info(f"{path}/{file}").size, sha256))
    return found


def shard_writer(export: Export) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow`: rows of whole shards, sorted by shard and draft_id -> a RESULT row for each file."""

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        names = [column.split()[0] for column in RESULT.split(", ")]
        for shard, pieces in groupby(_by_shard(batches), key=lambda piece: piece[0]):
            found = _write(export, shard, _row_groups(rows for _, rows in pieces))
            columns = zip(*found, strict=True)
            arrays = [pa.array(c, t) for c, t in zip(columns, _RESULT_TYPES, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    return write
