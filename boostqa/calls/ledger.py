"""The ledger (`completion`): staged part files are merged into it, and requests are looked up in it.

Part files that tasks flushed (udfs/staging.py) are merged at the end of a call and before the next look-up, so that a
killed run loses only what was in flight and not yet flushed. All writers of a ledger merge by request_id: the earliest
completion of a request stays, whoever wrote it.
"""

import time

from pyspark.sql import DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from boostqa.calls.progress import staged_parts
from boostqa.console import CONSOLE
from boostqa.errors import ConfigError
from boostqa.schemas import COMPLETION, CONFLICT
from boostqa.storage.warehouse import is_catalog
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import FinishReason
from udfs.staging import part_counts

STALE_SECONDS = 24 * 3600  # a part that is still not whole after this belongs to no living task


def staging_folder(stage: StageRun) -> str:
    """Where tasks flush part files: `generation.staging`, or `_staging` beside the ledger."""
    if folder := stage.config.generation.staging:
        return folder
    ledger = stage.warehouse.path("completion")
    if is_catalog(ledger):
        raise ConfigError("generation.staging is required with a Unity Catalog ledger: set it to a Volume folder")
    return f"{ledger.rpartition('/')[0]}/_staging"


def _earliest_first() -> WindowSpec:
    """The completions of a request in the order in which they count: the first is the one that stays."""
    return Window.partitionBy("request_id").orderBy("finished_at", "run_id", "text")


def earliest(staged: DataFrame) -> DataFrame:
    """COMPLETION rows, several to a request -> the one of each that counts."""
    return staged.withColumn("place", F.row_number().over(_earliest_first())).where("place = 1").drop("place")


def later_answers(staged: DataFrame, ledger: DataFrame) -> DataFrame:
    """COMPLETION rows of requests that the `ledger` (unique by request_id) or an earlier staged row answers already.

    Adds `differs`: whether the content is another one. Likelihoods are compared to one decimal: they depend on the
    batch a little. The same completion met again (its driver died between the ledger and the removal of the part) is
    none.
    """
    scores = F.transform_values("choice_logprobs", lambda _, p: F.round(p, 1))
    likelihoods = F.struct(F.round("logprob", 1), F.map_entries(scores))
    scored = F.when(F.col("finish_reason") == FinishReason.SCORED, likelihoods)
    content = F.xxhash64("text", "finish_reason", scored).alias("content")
    held = ledger.select("request_id", content.alias("held_content"), F.col("finished_at").alias("held_at"))
    rows = staged.withColumn("content", content).join(held, "request_id", "left")  # held: unique by request_id
    counted = {
        "counted_content": F.coalesce("held_content", F.first("content").over(_earliest_first())),
        "counted_at": F.coalesce("held_at", F.first("finished_at").over(_earliest_first())),
    }
    later = rows.withColumns(counted).where("finished_at != counted_at")
    return later.withColumn("differs", F.col("content") != F.col("counted_content"))


def _record_later_answers(stage: StageRun, staged: DataFrame) -> None:
    """Count what was paid for twice; append completions of another content to `conflict`."""
    later = later_answers(staged, stage.warehouse.read("completion"))
    twice = later.agg(F.sum("generated_tokens").alias("tokens"), F.count_if("differs").alias("conflicts")).first()
    assert twice is not None
    stage.usage.counts["retry_tokens"] += int(twice["tokens"] or 0)
    stage.usage.counts["conflicts"] += twice["conflicts"]
    if twice["conflicts"]:
        conflicts = later.where("differs").select(*CONFLICT.schema.names)
        stage.warehouse.append("conflict", conflicts, {"run_id": stage.run_id, "stage": stage.name})
        CONSOLE.print(
            f"[yellow]ledger: {twice['conflicts']} request(s) were answered twice with different content; the first "
            "answer stays, the others are in the table conflict"
        )


def merge_staged_parts(stage: StageRun, folder: str) -> None:
    """Merge complete part files into the ledger, each request once, then delete those that are wholly in it.

    A request that the ledger holds already, or that stands twice in the parts, keeps its first completion; what the
    later ones cost counts as `retry_tokens`.
    """
    filesystem, parts = staged_parts(folder)
    if not parts:
        return
    staged = (
        stage.spark.read.schema(COMPLETION.schema)
        # A part without a footer was cut off or is still being written: it is not there yet.
        .options(ignoreCorruptFiles="true", ignoreMissingFiles="true", pathGlobFilter="part-*")
        .parquet(folder)
    )
    _record_later_answers(stage, staged)
    stage.warehouse.insert("completion", earliest(staged), {"run_id": stage.run_id, "stage": stage.name})
    held = stage.warehouse.read("completion").select("request_id")  # unique
    file = F.col("_metadata.file_name").alias("part")
    in_ledger = staged.select("request_id", file).join(held, "request_id", "left_semi").groupBy("part").count()
    rows_in_ledger = {r["part"]: r["count"] for r in in_ledger.collect()}
    for part in parts:
        counts = part_counts(part.base_name)
        whole = counts is not None and rows_in_ledger.get(part.base_name) == counts.rows
        stale = time.time() - part.mtime.timestamp() > STALE_SECONDS
        if whole or stale:
            filesystem.delete_file(part.path)


def look_up(requests: DataFrame, ledger: DataFrame) -> DataFrame:
    """REQUEST rows (unique by request_id) with `held`: true where the `ledger` has a completion, false where it has a
    failed one, which is asked again, null where it has none."""
    failed = F.col("finish_reason") == FinishReason.FAILED
    return requests.join(ledger.select("request_id", (~failed).alias("held")), "request_id", "left")
