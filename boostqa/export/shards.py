"""mix -> files of one shard each. Grain of the result: one file. Key: (shard, format)."""

from typing import Any

from pyspark.sql import DataFrame

from boostqa.schemas import MIX
from udfs.files import file_system
from udfs.writers.shard import RESULT, shard_writer

MANIFEST = "manifest.json"


def mix_folder(output: str) -> str:
    """Where the export lies in `output`, a folder or URI."""
    return f"{output.rstrip('/')}/mix"


def withdraw(folder: str) -> None:
    """Remove the manifest of an export: what is left is none."""
    target, path = file_system(folder)
    if target.get_file_info(f"{path}/{MANIFEST}").type.name == "File":
        target.delete_file(f"{path}/{MANIFEST}")


def export(mix: DataFrame, folder: str, formats: list[str], shards: int) -> list[dict[str, Any]]:
    """Write MIX rows as `parquet/part-00003-of-00008.parquet` and/or `jsonl/...jsonl.zst`, zstd-compressed, one task
    per shard.

    `folder` is a local path or a URI pyarrow knows (s3, gs, abfss, hdfs) that every executor reaches; `formats` are of
    parquet and jsonl; `shards` is the total in the names (conf mix.shards). Returns shard, format, file, rows, tokens,
    bytes, sha256 of each file, by name; a shard without rows has no file. The same rows give the same bytes. A manifest
    of an earlier export is removed first: a folder without one is an export that did not finish.
    """
    target, path = file_system(folder)
    target.create_dir(path, recursive=True)
    withdraw(folder)
    absolute = folder if "://" in folder else path
    rows = mix.select(*MIX.schema.names).groupBy("shard")
    files = rows.applyInArrow(shard_writer(absolute, formats, shards), RESULT).collect()
    return sorted((f.asDict() for f in files), key=lambda f: f["file"])
