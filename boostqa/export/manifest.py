"""manifest.json: what an export consists of and what it was made from. Written last; without it nothing is finished."""

import json
import re
from collections import Counter
from typing import Any

from pyarrow.fs import FileSelector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.errors import ConfigError
from boostqa.export import croissant
from boostqa.export.card import CARD
from boostqa.export.shards import MANIFEST, MDS_INDEX
from udfs.files import file_system
from udfs.writers.shard import WRITERS

SHARD_FILE = re.compile(
    "|".join(
        [re.escape(MDS_INDEX), *(rf"{name}/part-\d{{5}}-of-\d{{5}}\.(?:{w.ENDINGS})" for name, w in WRITERS.items())]
    )
)
DIGESTS = {"card": CARD, "croissant": croissant.FILE}
GROUPS = ("component", "round", "discipline", "difficulty", "licence", "source", "lang")


def describe(mix: DataFrame, shards: list[dict[str, Any]], origin: dict[str, Any]) -> dict[str, Any]:
    """The manifest of an export of MIX rows: a plain dict without a clock, equal for equal input.

    `shards` is what `export` returned, `origin` what origin.py says of where the rows come from. Rows and tokens are
    counted in one job.
    """
    sums = (
        F.count("*").alias("rows"),
        F.sum("tokens").alias("tokens"),
        F.count_if(F.col("pass") == 1).alias("documents"),
    )
    counted = mix.groupBy(*GROUPS).agg(*sums).collect()
    by: dict[str, Counter[str]] = {
        name: Counter() for name in ("component", "round", "cell", "licence", "source", "lang")
    }
    for row in counted:
        cell = f"{row['discipline']} {row['difficulty']}" if row["discipline"] else None
        values = {**row.asDict(), "cell": cell}
        for name, counter in by.items():
            if values[name] is not None:
                counter[values[name]] += row["tokens"]
    return origin | {
        "rows": sum(r["rows"] for r in counted),
        "documents": sum(r["documents"] for r in counted),  # different ones
        "tokens": sum(r["tokens"] for r in counted),
        "tokens_by": {name: dict(sorted(counter.items())) for name, counter in by.items()},
        "shards": sorted(shards, key=lambda s: s["file"]),
    }


def read(folder: str) -> dict[str, Any] | None:
    """The manifest in a folder; None without one, {} of one that cannot be read."""
    target, path = file_system(folder)
    try:
        with target.open_input_stream(f"{path}/{MANIFEST}") as manifest:
            return json.loads(manifest.read())
    except OSError:
        return None
    except ValueError:  # no manifest, and yet there is one
        return {}


def required(folder: str) -> dict[str, Any]:
    """The manifest in a folder; raises ConfigError where none can be read: that is no finished export."""
    if said := read(folder):
        return said
    raise ConfigError(
        f"{folder}: no {MANIFEST} that can be read, so this is no finished export: name the folder with that file (`output` of "
        "the conf, then /mix), or export again: boostqa run"
    )


def digests(said: dict[str, Any]) -> dict[str, str]:
    """File -> sha256 of all that a manifest names; of an earlier release only the shards, or these and the card."""
    told = {file: said[key] for key, file in DIGESTS.items() if key in said}
    return {shard["file"]: shard["sha256"] for shard in said["shards"]} | told


def basis_of(folder: str) -> str | None:
    """The `basis_hash` of the export in a folder; None without one."""
    return (read(folder) or {}).get("basis_hash")


def holds(folder: str, name: str) -> bool:
    """Whether there is an export in a folder that has rows of a round, or does not say of which."""
    exported = read(folder)
    return exported is not None and name in exported.get("rounds", [name])


def write(folder: str, manifest: dict[str, Any]) -> None:
    """Write manifest.json, then remove shard files of an earlier export that this one does not name."""
    target, path = file_system(folder)
    with target.open_output_stream(f"{path}/{MANIFEST}") as out:
        out.write((json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
    named = {shard["file"] for shard in manifest["shards"]}
    for info in target.get_file_info(FileSelector(path, recursive=True)):
        file = "/".join(info.path.rsplit("/", 2)[1:])
        if SHARD_FILE.fullmatch(file) and file not in named:
            target.delete_file(info.path)
