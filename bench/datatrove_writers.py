"""datatrove's writers on the texts of bench/export.py, which starts this under a Python of its own that has datatrove.

PYTHON bench/datatrove_writers.py none|parquet|jsonl|megatron TOKENIZER TOKENS    -> CPU seconds, peak resident KiB
"""

import hashlib
import json
import os
import resource
import sys
import tempfile
import time

from datatrove.data import Document
from datatrove.pipeline.tokens import MegatronDocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
from texts import TOKENS_A_TEXT, texts


def documents(tokens: int):
    """The rows that bench/export.py gives to our writers."""
    for n, text in enumerate(texts(tokens)):
        about = {"tokens": TOKENS_A_TEXT, "source": "book"}
        yield Document(text=text, id=hashlib.sha256(str(n).encode()).hexdigest(), metadata=about)


def main(kind: str, tokenizer: str, tokens: int) -> None:
    """Print what writing took; `none` only makes the rows."""
    with tempfile.TemporaryDirectory() as folder, open(tokenizer, encoding="utf-8") as file:
        end = next(t["content"] for t in json.load(file)["added_tokens"])
        steps = {
            "parquet": lambda: ParquetWriter(folder, compression="zstd"),
            "jsonl": lambda: JsonlWriter(folder, output_filename="${rank}.jsonl.zst", compression="zstd"),
            "megatron": lambda: MegatronDocumentTokenizer(folder, "part", tokenizer, end),
        }
        step = steps[kind]() if kind in steps else None
        began = time.process_time()
        rows = documents(tokens)
        for _ in step.run(rows, 0, 1) or () if step else rows:
            pass
        print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
