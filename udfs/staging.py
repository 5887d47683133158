"""Part files of finished completions: how a task keeps what it has before the task itself ends.

A task's own output commits only when the task ends. So finished rows are flushed as Parquet files into a staging folder
that driver and executors reach; the driver merges them into the ledger. Nothing is renamed: on object stores a file
appears when it is closed, elsewhere its footer comes last, so a file that was cut off is no part wherever it lies.
"""

import re
import time
import uuid
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from udfs.engines.messages import UNUSABLE
from udfs.files import file_system

_COUNTS = re.compile(r"-r(\d+)-t(\d+)-f(\d+)\.parquet$")


class PartCounts(NamedTuple):
    """What the name of a part file tells: rows, their generated tokens, and rows without a completion."""

    rows: int
    tokens: int
    unusable: int


def part_prefix(run_id: str, partition: int | None = None) -> str:
    """How the names of a run's part files begin, or those of one partition."""
    return f"part-{run_id}-" + ("" if partition is None else f"{partition}-")


def part_counts(name: str) -> PartCounts | None:
    """The counts in a part file's name, so that progress needs a listing only; None for another file."""
    found = _COUNTS.search(name)
    return PartCounts(*map(int, found.groups())) if found else None


def is_cut_off(filesystem: pa.fs.FileSystem, path: str) -> bool:
    """Whether a part file lacks its footer: its task ended before it was whole, or is writing it now."""
    with filesystem.open_input_file(path) as part:
        size = part.size()
        return size < 4 or part.read_at(4, size - 4) != b"PAR1"


class Staging:
    """Writes the part files of one partition of a run; `schema` is COMPLETION's as Arrow schema."""

    def __init__(self, folder: str, prefix: str, schema: pa.Schema, flush_rows: int, flush_seconds: float) -> None:
        self.filesystem, self.folder = file_system(folder)
        self.filesystem.create_dir(self.folder, recursive=True)
        self.prefix, self.schema = prefix, schema
        self.flush_rows, self.flush_seconds = flush_rows, flush_seconds
        self.pending: list[dict[str, Any]] = []
        self.flushed = time.monotonic()

    def request_ids(self) -> set[str]:
        """Requests of this partition that an attempt which died has staged already."""
        found: set[str] = set()
        for part in self.filesystem.get_file_info(pa.fs.FileSelector(self.folder)):
            if part.base_name.startswith(self.prefix):
                try:
                    table = pq.read_table(part.path, columns=["request_id"], filesystem=self.filesystem)
                    found.update(table.column("request_id").to_pylist())
                except (pa.ArrowInvalid, FileNotFoundError):
                    continue  # cut off, or merged into the ledger by another driver meanwhile
        return found

    def add(self, row: dict[str, Any]) -> None:
        """Keep a COMPLETION row for the next flush."""
        self.pending.append(row)

    def flush(self, force: bool = False) -> None:
        """Write the pending rows when there are enough, when they are old enough, or when forced."""
        due = len(self.pending) >= self.flush_rows or time.monotonic() - self.flushed >= self.flush_seconds
        if self.pending and (force or due):
            tokens = sum(r["generated_tokens"] for r in self.pending)
            unusable = sum(r["finish_reason"] in UNUSABLE for r in self.pending)
            name = f"{self.prefix}{uuid.uuid4().hex}-r{len(self.pending)}-t{tokens}-f{unusable}.parquet"
            table = pa.Table.from_pylist(self.pending, schema=self.schema)
            with self.filesystem.open_output_stream(f"{self.folder}/{name}") as sink:
                pq.write_table(table, sink, compression="zstd")
            self.pending = []
        if due or force:
            self.flushed = time.monotonic()
