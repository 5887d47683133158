"""The driver's side of a model call: requests minus ledger -> udfs.generate -> ledger.

Part files that tasks flushed are taken into the ledger (`completion`) at the end of a stage and before the next look-up,
so a killed run loses only what was in flight and not yet flushed.
"""

import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSelector, FileSystem
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from rich.console import Console

from boostqa.errors import ConfigError, ContractError
from boostqa.lineage import StageRun
from boostqa.requests import REQUEST_COLUMNS, Speaker
from boostqa.schemas import COMPLETION
from udfs.files import file_system
from udfs.generate import FIGURES, Engine, generate

CONSOLE = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
Connect = Callable[[dict[str, Any]], Engine]


def staging_folder(stage: StageRun) -> str:
    """Where tasks flush part files: `generation.staging`, or `_staging` beside the warehouse's tables."""
    if folder := stage.config.generation.staging:
        return folder
    if stage.warehouse.catalog:
        raise ConfigError("generation.staging is required with a Unity Catalog warehouse: set it to a Volume folder")
    return stage.warehouse.path("_staging")


def _parts(folder: str) -> tuple[FileSystem, list[str]]:
    filesystem, path = file_system(folder)
    found = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return filesystem, sorted(f.path for f in found if f.base_name.startswith("part-"))


def absorb(stage: StageRun, folder: str) -> int:
    """Take complete part files into the ledger, each request once, then delete them; returns the rows taken.

    A request that is in the ledger already, or twice in the parts, keeps its first completion; one whose content differs
    is reported.
    """
    filesystem, parts = _parts(folder)
    if not parts:
        return 0
    staged = (
        stage.spark.read.schema(COMPLETION.schema)
        .option(
            "ignoreCorruptFiles", "true"
        )  # a part without a footer was cut off: its rows were never paid into the ledger
        .parquet(*(f"{folder}/{Path(p).name}" for p in parts))
    )
    first = staged.groupBy("request_id").agg(
        F.min_by(F.struct(*COMPLETION.schema.names), F.struct("finished_at", "text")).alias("row"),
        F.count_distinct("text", "finish_reason").alias("variants"),
    )
    known = stage.warehouse.read("completion").select("request_id", F.col("text").alias("known_text"))
    fresh = first.join(known, "request_id", "left").persist()  # both sides unique by request_id
    conflicts = fresh.where((F.col("variants") > 1) | (F.col("known_text") != F.col("row.text"))).count()
    if conflicts:
        CONSOLE.print(
            f"[yellow]ledger: {conflicts} request(s) were answered twice with different text; the first answer stays"
        )
    rows = fresh.where(F.col("known_text").isNull()).select("row.*")
    taken = rows.count()
    if taken:
        stage.warehouse.append("completion", rows, {"run_id": stage.run_id, "stage": stage.name})
    fresh.unpersist()
    for part in parts:
        filesystem.delete_file(part)
    return taken


def complete(stage: StageRun, requests: DataFrame, speaker: Speaker, connect: Connect | None = None) -> DataFrame:
    """Complete every request that the ledger does not hold; returns the ledger, for an inner join on `request_id`.

    `requests` holds REQUEST_COLUMNS (other columns are ignored); the same request_id may occur in several rows. `connect`
    replaces the engine (vLLM in the worker). Raises ConfigError when the engine cannot start, ContractError when a
    request came back without a completion.
    """
    folder = staging_folder(stage)
    if not stage.warehouse.exists("completion"):
        stage.warehouse.append("completion", stage.spark.createDataFrame([], COMPLETION.schema))
    if stage.warehouse.read("completion").where("finish_reason = 'failed'").limit(1).count():
        stage.warehouse.delete("completion", "finish_reason = 'failed'")  # the engine's fault: asked again
    absorb(stage, folder)
    known = stage.warehouse.read("completion").select("request_id", F.lit(True).alias("known"))
    asked = requests.select(*REQUEST_COLUMNS).dropDuplicates(["request_id"])  # rows of one id differ in nothing
    marked = asked.join(known, "request_id", "left").persist()
    counts = {r["known"]: r["count"] for r in marked.groupBy("known").count().collect()}
    pending, reused = counts.get(None, 0), counts.get(True, 0)
    stage.figures["requests"] += pending + reused
    stage.figures["reused"] += reused
    if pending:
        _generate(stage, marked.where(F.col("known").isNull()).drop("known"), speaker, folder, pending, connect)
        absorb(stage, folder)
        missing = marked.join(
            stage.warehouse.read("completion").select("request_id"), "request_id", "left_anti"
        ).count()
        if missing:
            raise ContractError(
                f"stage {stage.name}: {missing} of {pending} requests have no completion; run the stage again"
            )
    marked.unpersist()
    stage.inputs["completion"] = stage.warehouse.version("completion")
    return stage.warehouse.read("completion", stage.inputs["completion"])


def _generate(
    stage: StageRun, pending: DataFrame, speaker: Speaker, folder: str, total: int, connect: Connect | None
) -> None:
    generation = stage.config.generation
    settings = {
        "model": speaker.model.id,
        "revision": speaker.model.revision,
        "engine": speaker.engine.model_dump(),
        "staging": folder,
        "schema": to_arrow_schema(COMPLETION.schema).serialize().to_pybytes(),
        "run_id": stage.run_id,
        **generation.model_dump(exclude={"engines", "staging"}),
    }
    # Requests that share a prefix stand together for the engine's prefix cache; one partition an engine.
    spread = pending.repartition(generation.engines, F.xxhash64("request_id")).sortWithinPartitions(
        "template", "prompt", "request_id"
    )
    began = time.monotonic()
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, total, stage.name, done), daemon=True)
    watcher.start()
    try:
        rows = spread.mapInPandas(lambda batches: generate(batches, settings, connect), FIGURES).collect()
    except PySparkException as error:
        found = re.search(r"EngineDied: (.*)", str(error))
        if found is None:
            raise
        raise ConfigError(
            f"stage {stage.name}: no engine for model {speaker.model.id}: {found[1]}\n"
            "  check model.* and engine.* in the conf; what was finished before is kept and will not be asked again"
        ) from error
    finally:
        done.set()
        watcher.join()
    stage.engine_seconds += time.monotonic() - began
    for name in ("engine_starts", "prompt_tokens", "generated_tokens"):
        stage.figures[name] += sum(r[name] for r in rows)


def _watch(folder: str, total: int, name: str, done: threading.Event) -> None:
    """Print rows, tokens, rate and time left every few seconds, from the names of the part files."""
    began = time.monotonic()
    while not done.wait(10):
        counts = [re.search(r"-r(\d+)-t(\d+)\.parquet$", Path(p).name) for p in _parts(folder)[1]]
        rows, tokens = (sum(int(m[i]) for m in counts if m) for i in (1, 2))
        if rows:
            seconds = time.monotonic() - began
            left = (total - rows) * seconds / rows
            CONSOLE.print(
                f"  {name}: {rows}/{total} completions, {tokens} tokens, {tokens / seconds:.0f} tokens/s, about {left:.0f} s left"
            )
        else:
            CONSOLE.print(
                f"  {name}: engine starting or first rows in flight, {total} requests ({time.monotonic() - began:.0f} s)"
            )
