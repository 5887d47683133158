"""The driver's side of a model call: requests minus ledger -> udfs.generate -> ledger.

Part files that tasks flushed are taken into the ledger (`completion`) at the end of a call and before the next look-up,
so a killed run loses only what was in flight and not yet flushed. All writers of a ledger merge by request_id.
"""

import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileSystem
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, Window, WindowSpec
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from rich.console import Console

from boostqa.errors import ConfigError, ContractError
from boostqa.lineage import StageRun, folder_of
from boostqa.placement import profile
from boostqa.requests import REQUEST_COLUMNS, Speaker, deal
from boostqa.schemas import COMPLETION, CONFLICT, ENGINE
from boostqa.tables import is_catalog
from udfs.files import file_system
from udfs.generate import FIGURES, Engine, generate, part_prefix

CONSOLE = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
Connect = Callable[[dict[str, Any]], Engine]
STALE_SECONDS = 24 * 3600  # a part that is still not whole after this belongs to no living task
PART = re.compile(r"-r(\d+)-t(\d+)-f(\d+)\.parquet$")  # rows, tokens, unusable rows: see udfs.generate.Staging


def staging_folder(stage: StageRun) -> str:
    """Where tasks flush part files: `generation.staging`, or `_staging` beside the ledger."""
    if folder := stage.config.generation.staging:
        return folder
    ledger = stage.warehouse.path("completion")
    if is_catalog(ledger):
        raise ConfigError("generation.staging is required with a Unity Catalog ledger: set it to a Volume folder")
    return f"{ledger.rpartition('/')[0]}/_staging"


def _parts(folder: str, prefix: str = "part-") -> tuple[FileSystem, list[FileInfo]]:
    filesystem, path = file_system(folder)
    found = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return filesystem, [f for f in found if f.base_name.startswith(prefix)]


def absorb(stage: StageRun, folder: str) -> None:
    """Take complete part files into the ledger, each request once, then delete those that are wholly in it.

    A request that is in the ledger already, or twice in the parts, keeps its first completion; what the later ones cost
    counts as `retry_tokens`, and those with different content are reported and kept in the table `conflict`.
    """
    filesystem, parts = _parts(folder)
    if not parts:
        return
    staged = (
        stage.spark.read.schema(COMPLETION.schema)
        # A part without a footer was cut off or is still being written: it is not there yet.
        .options(ignoreCorruptFiles="true", ignoreMissingFiles="true", pathGlobFilter="part-*")
        .parquet(folder)
    )
    _report_twice(stage, staged)
    first = staged.withColumn("rank", F.row_number().over(_earliest_first())).where("rank = 1").drop("rank")
    stage.warehouse.insert("completion", first, {"run_id": stage.run_id, "stage": stage.name})
    held = stage.warehouse.read("completion").select("request_id")  # unique
    in_ledger = staged.select("request_id", F.col("_metadata.file_name").alias("part")).join(
        held, "request_id", "left_semi"
    )
    rows = {r["part"]: r["count"] for r in in_ledger.groupBy("part").count().collect()}
    for part in parts:
        written = PART.search(part.base_name)
        stale = time.time() - part.mtime.timestamp() > STALE_SECONDS
        if stale or (written and rows.get(part.base_name) == int(written[1])):
            filesystem.delete_file(part.path)


def _earliest_first() -> WindowSpec:
    """The completions of a request in the order in which they count: the first is the one that stays."""
    return Window.partitionBy("request_id").orderBy("finished_at", "run_id", "text")


def _report_twice(stage: StageRun, staged: DataFrame) -> None:
    """Count what was paid for twice; append completions whose content differs from the first one's to `conflict`."""
    scores = F.transform_values(
        "choice_logprobs", lambda _, p: F.round(p, 1)
    )  # likelihoods depend on the batch a little
    scored = F.when(F.col("finish_reason") == "scored", F.struct(F.round("logprob", 1), F.map_entries(scores)))
    content = F.xxhash64("text", "finish_reason", scored).alias("content")
    known = stage.warehouse.read("completion").select(
        "request_id", content.alias("known_content"), F.col("finished_at").alias("known_at")
    )
    rows = staged.withColumn("content", content).join(known, "request_id", "left")  # known: unique by request_id
    first = {
        "first_content": F.coalesce("known_content", F.first("content").over(_earliest_first())),
        "first_at": F.coalesce("known_at", F.first("finished_at").over(_earliest_first())),
    }
    # The same completion may be met again: a driver died between the ledger and the removal of the part.
    later = rows.withColumns(first).where("finished_at != first_at")
    differs = F.col("content") != F.col("first_content")
    twice = later.agg(F.sum("generated_tokens"), F.count_if(differs)).first()
    assert twice is not None
    stage.figures["retry_tokens"] += int(twice[0] or 0)
    stage.figures["conflicts"] += twice[1]
    if twice[1]:
        conflicts = later.where(differs).select(*CONFLICT.schema.names)
        stage.warehouse.append("conflict", conflicts, {"run_id": stage.run_id, "stage": stage.name})
        CONSOLE.print(
            f"[yellow]ledger: {twice[1]} request(s) were answered twice with different content; the first answer stays, "
            "the others are in the table conflict"
        )


def complete(stage: StageRun, requests: DataFrame, speaker: Speaker, connect: Connect | None = None) -> DataFrame:
    """Complete every request that the ledger does not hold; returns the ledger, for an inner join on `request_id`.

    `requests` holds REQUEST_COLUMNS (other columns are ignored); the same request_id may occur in several rows. `connect`
    replaces the engine (vLLM in the worker, or the model's endpoint). Raises ConfigError when the engine cannot start or
    cannot be placed, ContractError when a request came back without a completion.
    """
    folder = staging_folder(stage)
    stage.warehouse.create("completion")
    absorb(stage, folder)
    failed = F.col("finish_reason") == "failed"  # the engine's fault: asked again
    known = stage.warehouse.read("completion").select("request_id", (~failed).alias("known"))
    asked = requests.select(*REQUEST_COLUMNS).dropDuplicates(["request_id"])  # rows of one id differ in nothing
    marked = asked.join(known, "request_id", "left").persist(StorageLevel.DISK_ONLY)
    counts = {r["known"]: r["count"] for r in marked.groupBy("known").count().collect()}
    if counts.get(False):
        stage.warehouse.delete("completion", "finish_reason = 'failed'")
    reused = counts.get(True, 0)
    pending = sum(counts.values()) - reused
    stage.figures["requests"] += pending + reused
    stage.figures["reused"] += reused
    if pending:
        unknown = ~F.coalesce("known", F.lit(False))
        _generate(stage, marked.where(unknown).drop("known"), speaker, folder, pending, connect)
        absorb(stage, folder)
        held = stage.warehouse.read("completion").select("request_id")
        if missing := marked.join(held, "request_id", "left_anti").count():
            raise ContractError(
                f"stage {stage.name}: {missing} of {pending} requests have no completion; run the stage again"
            )
    marked.unpersist()
    stage.inputs["completion"] = stage.warehouse.version("completion")
    return stage.warehouse.read("completion", stage.inputs["completion"])


def _generate(
    stage: StageRun, pending: DataFrame, speaker: Speaker, folder: str, total: int, connect: Connect | None
) -> None:
    conf, model = stage.config.generation, speaker.model
    settings = {
        "model": str(folder_of(model) or model.id),  # executors have other working directories
        "revision": model.revision,
        "engine": speaker.engine.model_dump(),
        "endpoint": model.endpoint.model_dump() if model.endpoint else None,
        "staging": folder,
        "schema": to_arrow_schema(COMPLETION.schema).serialize().to_pybytes(),
        "run_id": stage.run_id,
        **conf.model_dump(exclude={"engines", "executors", "ledger", "staging"}),
    }
    placed = None if model.endpoint or connect else profile(stage.spark, conf, speaker.engine)
    dealt = deal(pending, stage.warehouse.read("completion"), conf.engines)
    began = time.monotonic()
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, stage.run_id, total, stage.name, done), daemon=True)
    watcher.start()
    try:
        figures = dealt.mapInPandas(lambda batches: generate(batches, settings, connect), FIGURES, profile=placed)
        rows = figures.collect()
    except PySparkException as error:
        found = re.search(r"Engine(?:Died|Unusable): (.*)", str(error))
        if found is None:
            raise
        raise ConfigError(
            f"stage {stage.name}: no engine for model {model.id}: {found[1]}\n"
            "  check model.* and engine.* in the conf; what was finished before is kept and will not be asked again"
        ) from error
    finally:
        done.set()
        watcher.join()
        stage.engine_seconds += time.monotonic() - began
    _account(stage, rows, model.id)


def _account(stage: StageRun, rows: list[Row], model: str) -> None:
    """Add up the engines' figures and keep them for the table `engine`.

    Idle tail: within a task what Window.drain counts; between tasks the time from the last one of an engine to the last
    one of all.
    """
    engines = []
    for row in (r.asDict() for r in rows):
        for name in ("failed", "prompt_tokens", "cached_tokens", "generated_tokens", "thinking_tokens", "retry_tokens"):
            stage.figures[name] += row[name]
        stage.figures["engine_starts"] += row["engine_starts"]
        seconds = row["ended"] - row["began"]
        rate = row["generated_tokens"] / seconds if seconds else 0.0
        what = {"run_id": stage.run_id, "stage": stage.name, "call": stage.calls, "model": model}
        engines.append({**row, **what, "seconds": seconds, "tokens_per_second": rate})
    ends: dict[tuple[str, str], float] = {}
    for row in engines:
        place = (row["executor"], row["gpus"])
        ends[place] = max(ends.get(place, 0.0), row["ended"])
    last, first = max(ends.values()), min(row["began"] for row in engines)
    stage.idle_engine_seconds += sum(last - end for end in ends.values()) + sum(row["idle_seconds"] for row in engines)
    stage.engines_seconds += len(ends) * (last - first)
    stage.calls += 1
    stage.engines += [{name: row[name] for name in ENGINE.schema.names} for row in engines]


def _watch(folder: str, run_id: str, total: int, name: str, done: threading.Event) -> None:
    """Print rows, tokens, rate, failures and time left every few seconds, from the names of the run's part files."""
    began = time.monotonic()
    seen = {p.base_name for p in _parts(folder, part_prefix(run_id))[1]}  # of an earlier call of the run
    while not done.wait(10):
        names = [p.base_name for p in _parts(folder, part_prefix(run_id))[1] if p.base_name not in seen]
        counts = [tuple(map(int, found.groups())) for found in map(PART.search, names) if found]
        rows, tokens, failed = (sum(c[i] for c in counts) for i in range(3))
        seconds = time.monotonic() - began
        if rows:
            left = (total - rows) * seconds / rows
            CONSOLE.print(
                f"  {name}: {rows}/{total} completions ({failed} failed), {tokens} tokens, {tokens / seconds:.0f} "
                f"tokens/s, about {left:.0f} s left"
            )
        else:
            CONSOLE.print(f"  {name}: engine starting or first rows in flight, {total} requests ({seconds:.0f} s)")
