"""A shard as Megatron-LM's indexed dataset, .bin and .idx (megatron/core/datasets/indexed_dataset.py of megatron-core 0.16):
a document is the tokens of one text and the end-of-text token."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import numpy as np
import pyarrow as pa

from udfs.text import tokenizer_of
from udfs.writers.export import Create, Export

ENDINGS = "bin|idx"
MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
_CODES = {np.uint16: 8, np.int32: 4}  # DType of the reader
_UINT16_BELOW = 65_500  # DType.optimal_dtype of the reader
_HEADER = struct.Struct(f"<{len(MAGIC)}sQBQQ")  # magic, version, code of the type, documents, their ends (one more)
_BATCH_ROWS = 1_024  # texts tokenized at once: ids are Python integers until they are an array


@contextmanager
def writing(create: Create, schema: pa.Schema, export: Export) -> Iterator[Callable[[pa.Table], None]]:
    """A function that writes rows (their `text`, no special tokens but the last) to .bin in their order; .idx is written at
    the end: the lengths of all documents of the shard are held until then, 4 bytes each."""
    tokenizer = tokenizer_of(str(export.tokenizer_json))
    end = tokenizer.token_to_id(str(export.end_of_text))
    kind = np.uint16 if max(tokenizer.get_vocab().values()) + 1 < _UINT16_BELOW else np.int32
    lengths: list[np.ndarray] = []
    content, index = create("bin").sink, create("idx").sink

    def write(rows: pa.Table) -> None:
        for batch in rows.select(["text"]).to_batches(max_chunksize=_BATCH_ROWS):
            encoded = tokenizer.encode_batch_fast(batch.column("text").to_pylist(), add_special_tokens=False)
            documents = [[*e.ids, end] for e in encoded]
            lengths.append(np.fromiter(map(len, documents), np.int32, len(documents)))
            content.write(np.fromiter(chain.from_iterable(documents), kind, int(lengths[-1].sum())).tobytes())

    yield write
    documents = np.concatenate(lengths) if lengths else np.empty(0, np.int32)
    ends = np.cumsum(documents, dtype=np.int64) * np.dtype(kind).itemsize
    index.write(_HEADER.pack(MAGIC, VERSION, _CODES[kind], len(documents), len(documents) + 1))
    index.write(documents.tobytes())
    index.write(np.concatenate([[0], ends[:-1]]).astype(np.int64).tobytes() if len(ends) else b"")
    index.write(np.arange(len(documents) + 1, dtype=np.int64).tobytes())


def document_at(index: pa.NativeFile, token: int) -> tuple[int, int] | None:
    """The 0-based document of a .bin that holds the token at a 0-based offset, and the token's place in it, by its .idx; None past
    the end."""
    _, _, _, documents, _ = _HEADER.unpack(index.read(_HEADER.size))
    ends = np.cumsum(np.frombuffer(index.read(4 * documents), np.int32), dtype=np.int64)
    found = int(np.searchsorted(ends, token, side="right"))
    return (found, token - int(ends[found - 1] if found else 0)) if found < documents else None
