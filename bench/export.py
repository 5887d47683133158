"""Tokens per CPU-second of each format of the export against the bare tokenizer on the same texts, and peak memory by size.

    python bench/export.py TOKENIZER [--datatrove PYTHON] [TOKENS ...]      a tokenizer.json; default 1e6 3e6

One process and one shard, written as a task of Spark's writes it (udfs/writers), from Arrow batches of texts made by hash.
`raw` is `tokenizers.encode_batch_fast` in batches of 1,024 and nothing else; a ratio of 1 for Megatron would mean that writing is free.
With a PYTHON that has datatrove its writers follow in the same run (bench/datatrove_writers.py), on the same rows.
"""

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from texts import TOKENS_A_TEXT, texts

from udfs.text import tokenizer_of
from udfs.writers.export import Export
from udfs.writers.shard import WRITERS, shard_writer

BATCH_ROWS = 10_000  # of Spark's Arrow batches
DATATROVE = ("parquet", "jsonl", "megatron")


def batches(tokens: int) -> Iterator[pa.RecordBatch]:
    """MIX-like rows of one shard that hold about so many tokens."""
    numbered = enumerate(texts(tokens))
    while batch := list(islice(numbered, BATCH_ROWS)):
        numbers, made = zip(*batch, strict=True)
        columns = {
            "document_id": [hashlib.sha256(str(n).encode()).hexdigest() for n in numbers],
            "text": made,
            "tokens": pa.array([TOKENS_A_TEXT] * len(made), pa.int32()),
            "source": ["book"] * len(made),
            "shard": pa.array([0] * len(made), pa.int32()),
        }
        yield pa.RecordBatch.from_pydict(columns)


def measure(kind: str, tokenizer_json: str, tokens: int) -> tuple[int, float, int]:
    """(tokens, CPU seconds, peak resident bytes) of one way; without a format the texts are only made."""
    tokenizer, counted = tokenizer_of(tokenizer_json), 0
    end = next(iter(tokenizer.get_vocab()))
    began = time.process_time()
    if kind == "none":
        counted = sum(batch.num_rows for batch in batches(tokens))
    elif kind == "raw":
        for batch in batches(tokens):
            for first in range(0, batch.num_rows, 1_024):
                texts = batch.column("text").slice(first, 1_024).to_pylist()
                counted += sum(len(e) for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    else:
        with tempfile.TemporaryDirectory() as folder:
            about = Export(folder, (kind,), 1, tokenizer_json, end)
            list(shard_writer(about)(batches(tokens)))
    return counted, time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(tokenizer: str, datatrove: str | None, sizes: list[str]) -> None:
    """Print a table: each way in a process of its own, the making of the rows taken off."""
    table = Table("tokens", "way", "CPU s", "tokens / CPU s", "of raw", "peak MB", box=None)
    for size in [int(float(s)) for s in sizes or ("1e6", "3e6")]:
        seen: dict[str, tuple[float, int]] = {}
        for kind in ("none", "raw", *WRITERS):
            counted, seconds, peak = _run(sys.executable, __file__, "--one", kind, tokenizer, str(size))
            seen[kind] = seconds, int(peak)
            tokens = int(counted) if kind == "raw" else size
        ways = {kind: (seen[kind][0] - seen["none"][0], seen[kind][1]) for kind in ("raw", *WRITERS)}
        if datatrove:
            script = str(Path(__file__).with_name("datatrove_writers.py"))
            taken = {kind: _run(datatrove, script, kind, tokenizer, str(size)) for kind in ("none", *DATATROVE)}
            none = taken.pop("none")[0]
            ways |= {f"datatrove {kind}": (s - none, int(kib) * 1024) for kind, (s, kib) in taken.items()}
        for kind, (seconds, peak) in ways.items():
            figures = (
                f"{seconds:.1f}",
                f"{tokens / seconds:,.0f}",
                f"{ways['raw'][0] / seconds:.2f}",
                f"{peak / 1e6:,.0f}",
            )
            table.add_row(f"{tokens:,}", kind, *figures)
    Console().print(table)


def _run(*command: str) -> list[float]:
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in out.splitlines()[-1].split()]


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if sys.argv[1] == "--one":
        kind, tokenizer, size = sys.argv[2:]
        print(*measure(kind, Path(tokenizer).read_text(encoding="utf-8"), int(size)))
    else:
        given = sys.argv[1:]
        other = given.pop(given.index("--datatrove") + 1) if "--datatrove" in given else None
        given = [word for word in given if word != "--datatrove"]
        main(given[0], other, given[1:])
