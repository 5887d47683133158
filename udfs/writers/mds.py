"""A shard as MosaicML's MDS, zstd (streaming/base/format/mds of mosaicml-streaming 0.13): a file a row group, since the offsets
of all its rows stand at a file's start, and one index.json for the files of all shards.

A file: the number of rows, the offset of each and of the end, the columns as JSON, the rows; a row: the lengths of its texts, its
values. Numbers are uint32, values of int columns int32, all little-endian. Null is the empty text: the format knows none.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa

from udfs.writers.export import Create, Export

ENDINGS = r"\d{5}\.mds\.zstd"
INDEX = "index.json"
COMPRESSION_LEVEL = 9
_VERSION = 2
_ENCODINGS = {
    "string": ("str", None),
    "int32": ("int32", 4),
    "int": ("int32", 4),
}  # and bytes of a value, if all have as many
_NESTED = ("json", None)
_READ: dict[str, Callable[[bytes], Any]] = {
    "str": bytes.decode, "json": json.loads, "int32": lambda value: int.from_bytes(value, "little", signed=True)
}  # fmt: skip


@contextmanager
def writing(create: Create, schema: pa.Schema, export: Export) -> Iterator[Callable[[pa.Table], None]]:
    """A function that writes rows in their order, a file a call."""
    about = json.dumps(_columns({f.name: str(f.type) for f in schema}), sort_keys=True).encode()
    codec, numbers = pa.Codec("zstd", compression_level=COMPRESSION_LEVEL), count()

    def write(rows: pa.Table) -> None:
        samples = [_sample(row) for row in zip(*(c.to_pylist() for c in rows.columns), strict=True)]
        first = 4 * (len(samples) + 2) + len(about)
        offsets = first + np.cumsum([0, *map(len, samples)], dtype=np.int64)
        raw = b"".join([np.uint32(len(samples)).tobytes(), offsets.astype(np.uint32).tobytes(), about, *samples])
        file = create(f"{next(numbers):05d}.mds.zstd")
        file.raw_bytes = len(raw)
        with file.sink as sink:
            sink.write(codec.compress(raw, asbytes=True))

    yield write


def _sample(row: tuple[Any, ...]) -> bytes:
    values = [_value(value) for value in row]
    sizes = [len(value) for value, of in zip(values, row, strict=True) if not isinstance(of, int)]
    return b"".join([np.array(sizes, np.uint32).tobytes(), *values])


def _value(value: Any) -> bytes:
    if isinstance(value, int):
        return np.int32(value).tobytes()
    return ((value or "") if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False)).encode()


def _columns(types: Mapping[str, str]) -> dict[str, Any]:
    """What MDS says of the columns, in a file and in the index, by the names of their types in Arrow or Spark."""
    encodings, sizes = zip(*(_ENCODINGS.get(kind, _NESTED) for kind in types.values()), strict=True)
    return {
        "column_encodings": encodings, "column_names": list(types), "column_sizes": sizes,
        "compression": f"zstd:{COMPRESSION_LEVEL}", "format": "mds", "hashes": [], "size_limit": None, "version": _VERSION,
    }  # fmt: skip


def index(files: list[dict[str, Any]], types: Mapping[str, str]) -> bytes:
    """index.json of RESULT rows of this format and the columns with their types in Spark: the files in order of shard."""

    def entry(file: dict[str, Any]) -> dict[str, Any]:
        name = file["file"].rpartition("/")[2]
        raw = {"basename": name.removesuffix(".zstd"), "bytes": file["raw_bytes"], "hashes": {}}
        zipped = {"basename": name, "bytes": file["bytes"], "hashes": {}}
        return _columns(types) | {"raw_data": raw, "samples": file["rows"], "zip_data": zipped}

    return (json.dumps({"shards": [entry(f) for f in files], "version": _VERSION}, sort_keys=True) + "\n").encode()


def row(source: pa.NativeFile, number: int) -> dict[str, Any] | None:
    """The row of a file at a 0-based place; None past the end."""
    raw = pa.CompressedInputStream(source, "zstd").read()
    rows = int(np.frombuffer(raw, np.uint32, 1)[0])
    if number >= rows:
        return None
    offsets = np.frombuffer(raw, np.uint32, rows + 1, 4)
    about = json.loads(raw[4 * (rows + 2) : int(offsets[0])])
    place = int(offsets[number])
    texts = about["column_sizes"].count(None)
    sizes = iter(np.frombuffer(raw, np.uint32, texts, place).tolist())
    place, found = place + 4 * texts, {}
    for name, kind, size in zip(*(about[f"column_{part}"] for part in ("names", "encodings", "sizes")), strict=True):
        end = place + (next(sizes) if size is None else size)
        found[name], place = _READ[kind](raw[place:end]), end
    return found
