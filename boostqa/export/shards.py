"""mix -> files of one shard each, and an index of them where a format has one. Grain of the result: one file."""

import hashlib
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.config import Mix
from boostqa.errors import ConfigError
from boostqa.schemas import MIX
from udfs.files import file_system
from udfs.text import tokenizer_of
from udfs.writers import mds
from udfs.writers.export import Export
from udfs.writers.shard import RESULT, shard_writer

MANIFEST = "manifest.json"
MDS_INDEX = f"mds/{mds.INDEX}"


def mix_folder(output: str) -> str:
    """Where the export lies in `output`, a folder or URI."""
    return f"{output.rstrip('/')}/mix"


def withdraw(folder: str) -> None:
    """Remove the manifest of an export: what is left is none."""
    target, path = file_system(folder)
    if target.get_file_info(f"{path}/{MANIFEST}").type.name == "File":
        target.delete_file(f"{path}/{MANIFEST}")


def export(mix: DataFrame, folder: str, conf: Mix, tokenizer_json: str) -> list[dict[str, Any]]:
    """Write MIX rows in the formats of `conf`: zstd Parquet and JSON Lines (`parquet/part-00003-of-00008.parquet`,
    `jsonl/...jsonl.zst`), Megatron's indexed dataset (`megatron/....bin` and `.idx`), MosaicML's MDS (`mds/....00000.mds.zstd`, and
    `mds/index.json` for all), a task a shard.

    `folder` is a local path or a URI pyarrow knows (s3, gs, abfss, hdfs) that every executor reaches. A shard is a part of
    all rows by hash and its rows are in the order of another: a global shuffle; with `conf.order` easy_first those of a lower
    difficulty come first in it. A task streams: it holds a row group.
    Returns shard, format, file, rows, tokens (of the texts), bytes, sha256 of each file, by name (an index has neither shard nor
    rows); a shard without rows has no file. The same rows give the same bytes. A manifest of an earlier export is removed first: a folder without one is an
    export that did not finish. Raises ConfigError for a `conf.end_of_text` that the tokenizer does not have.
    """
    if conf.end_of_text is not None and tokenizer_of(tokenizer_json).token_to_id(conf.end_of_text) is None:
        raise ConfigError(
            f"mix.end_of_text: the target tokenizer has no token {conf.end_of_text!r}: name one of its own"
        )
    target, path = file_system(folder)
    target.create_dir(path, recursive=True)
    withdraw(folder)
    absolute = folder if "://" in folder else path
    with_ids = (
        (tokenizer_json, conf.end_of_text) if "megatron" in conf.formats else ()
    )  # megabytes, sent with every task
    about = Export(absolute, tuple(conf.formats), conf.shards, *with_ids)
    first = [F.coalesce("difficulty", F.lit("~"))] if conf.order == "easy_first" else []
    rows = mix.select(*MIX.schema.names).repartitionById(conf.shards, "shard")
    rows = rows.sortWithinPartitions("shard", *first, F.xxhash64("document_id", "pass"), "document_id", "pass")
    made = [f.asDict() for f in rows.mapInArrow(shard_writer(about), RESULT).collect()]
    made.sort(key=lambda f: f["file"])
    if of_mds := [f for f in made if f["format"] == "mds"]:
        made.append(_index(absolute, mds.index(of_mds, dict(rows.drop("shard").dtypes))))
    return sorted(({k: v for k, v in f.items() if k != "raw_bytes"} for f in made), key=lambda f: f["file"])


def _index(folder: str, content: bytes) -> dict[str, Any]:
    target, path = file_system(folder)
    with target.open_output_stream(f"{path}/{MDS_INDEX}", compression=None) as out:
        out.write(content)
    return {
        "shard": None, "format": "mds", "file": MDS_INDEX, "rows": 0, "tokens": 0, "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
