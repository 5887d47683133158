"""Tokens per CPU-second of each format of the export against the bare tokenizer on the same texts, and peak memory by size.

    python bench/export.py TOKENIZER [TOKENS ...]      a tokenizer.json; default 1e6 3e6

One process and one shard, written as a task of Spark's writes it (udfs/writers), from Arrow batches of texts made by hash.
`raw` is `tokenizers.encode_batch_fast` in batches of 1,024 and nothing else; a ratio of 1 for Megatron would mean that writing is free.
"""

import hashlib
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from udfs.text import tokenizer_of
from udfs.writers.export import Export
from udfs.writers.shard import WRITERS, shard_writer

TOKENS_A_TEXT = 220
BATCH_ROWS = 10_000  # of Spark's Arrow batches
WORDS = [
    "force",
    "mass",
    "energy",
    "the",
    "of",
    "a",
    "velocity",
    "9.8",
    "m/s^2",
    "derivative",
    "$x^2$",
    "heat",
    "ion",
    "therefore",
    "equals",
    "charge",
    "质量",
    "能量",
    "field",
]


def batches(tokens: int) -> Iterator[pa.RecordBatch]:
    """MIX-like rows of one shard that hold about so many tokens."""
    rows, draw = tokens // TOKENS_A_TEXT, random.Random(1)
    for first in range(0, rows, BATCH_ROWS):
        numbers = range(first, min(first + BATCH_ROWS, rows))
        texts = [" ".join(draw.choices(WORDS, k=TOKENS_A_TEXT // 2)) for _ in numbers]
        columns = {
            "document_id": [hashlib.sha256(str(n).encode()).hexdigest() for n in numbers],
            "text": texts,
            "tokens": pa.array([TOKENS_A_TEXT] * len(texts), pa.int32()),
            "source": ["book"] * len(texts),
            "shard": pa.array([0] * len(texts), pa.int32()),
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


def main(tokenizer: str, *sizes: str) -> None:
    """Print a table: each way in a process of its own, the making of the texts taken off."""
    table = Table("tokens", "way", "CPU s", "tokens / CPU s", "of raw", "peak MB", box=None)
    for size in [int(float(s)) for s in sizes or ("1e6", "3e6")]:
        seen: dict[str, tuple[int, float, int]] = {}
        for kind in ("none", "raw", *WRITERS):
            command = [sys.executable, __file__, "--one", kind, tokenizer, str(size)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            seen[kind] = int(out[0]), float(out[1]), int(out[2])
        tokens, made = seen["raw"][0], seen["none"][1]
        for kind in ("raw", *WRITERS):
            seconds = seen[kind][1] - made
            ratio = (seen["raw"][1] - made) / seconds
            table.add_row(
                f"{tokens:,}",
                kind,
                f"{seconds:.1f}",
                f"{tokens / seconds:,.0f}",
                f"{ratio:.2f}",
                f"{seen[kind][2] / 1e6:,.0f}",
            )
    Console().print(table)


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if sys.argv[1] == "--one":
        kind, tokenizer, size = sys.argv[2:]
        print(*measure(kind, Path(tokenizer).read_text(encoding="utf-8"), int(size)))
    else:
        main(*sys.argv[1:])
