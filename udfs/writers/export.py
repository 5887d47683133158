"""What all writers of an export are told."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Export:
    """Where an export goes and what it consists of; the tokenizer (content of tokenizer.json) and the token that ends a text
    are for formats of token ids, null without one."""

    folder: str
    formats: tuple[str, ...]
    shards: int
    tokenizer_json: str | None = None
    end_of_text: str | None = None


@dataclass(eq=False)
class File:
    """A file of a shard while it is written; `raw_bytes`: its size before compression, where an index of the format tells it."""

    kind: str
    name: str
    sink: pa.NativeFile
    rows: int = 0
    tokens: int = 0
    raw_bytes: int | None = None


Create = Callable[[str], File]  # opens the file of the shard with an ending; it is closed with the shard, if not before
