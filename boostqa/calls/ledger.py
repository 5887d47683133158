"""The ledger (`completion`): staged part files are merged into it, and requests are looked up in it.

Part files that tasks flushed (udfs/staging.py) are merged at the end of a call and before the next look-up, so that a
killed run loses only what was in flight and not yet flushed. All writers of a ledger merge by request_id: a usable
completion wins over one that failed or was refused, whoever wrote it, and of several the earliest stays.

A part belongs to its run, whose tasks read it when they are tried again: another driver takes its rows in, but removes it
only when it is old.
"""

import time

from pyarrow.fs import FileInfo, FileSystem
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from boostqa.calls.progress import staged_parts
from boostqa.console import CONSOLE
from boostqa.errors import ConfigError
from boostqa.schemas import COMPLETION, CONFLICT
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import FinishReason
from udfs.files import pattern_of
from udfs.staging import is_cut_off, part_counts, part_prefix

# A part that old belongs to no living task: a task writes it within seconds and ends with its run.
STALE_SECONDS = 24 * 3600
_RELEASED = "boostqa.released"  # property of the table


def _worth(reason: str) -> str:
    """How little a completion with this finish_reason (a column) is worth, as SQL: 0 usable, 1 refused, 2 failed. The lower
    one stays."""
    return f"case {reason} when '{FinishReason.FAILED}' then 2 when '{FinishReason.REFUSED}' then 1 else 0 end"


def _best_first() -> WindowSpec:
    """The completions of a request in the order in which they count: the first is the one that stays."""
    return Window.partitionBy("request_id").orderBy(F.expr(_worth("finish_reason")), "finished_at", "run_id", "text")


def best(staged: DataFrame) -> DataFrame:
    """COMPLETION rows, several to a request -> the one of each that counts."""
    return staged.withColumn("place", F.row_number().over(_best_first())).where("place = 1").drop("place")


def later_answers(staged: DataFrame, ledger: DataFrame) -> DataFrame:
    """COMPLETION rows of requests that have a usable completion already, in the `ledger` (unique by request_id) or an
    earlier staged row.

    Adds `differs`: whether the content is another one. Likelihoods are compared to one decimal: they depend on the
    batch a little. The same completion met again (its driver died between the ledger and the removal of the part) is
    none.
    """
    scores = F.transform_values("choice_logprobs", lambda _, p: F.round(p, 1))
    likelihoods = F.struct(F.round("logprob", 1), F.map_entries(scores))
    scored = F.when(F.col("finish_reason") == FinishReason.SCORED, likelihoods)
    usable = F.expr(_worth("finish_reason")) == 0
    content = F.xxhash64("text", "finish_reason", scored).alias("content")
    held = ledger.where(usable).select(
        "request_id", content.alias("held_content"), F.col("finished_at").alias("held_at")
    )
    rows = staged.withColumn("content", content).join(held, "request_id", "left")  # held: unique by request_id
    first = {name: F.first(F.when(usable, F.col(name))).over(_best_first()) for name in ("content", "finished_at")}
    counted = {
        "counted_content": F.coalesce("held_content", first["content"]),
        "counted_at": F.coalesce("held_at", first["finished_at"]),
    }
    later = rows.withColumns(counted).where("finished_at != counted_at")
    return later.withColumn("differs", usable & (F.col("content") != F.col("counted_content")))


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
    """Merge complete part files into the ledger, each request once, then remove this run's and old ones that are wholly in
    it; one that is not is reported, if it is not just being written, and kept.

    What later completions of a request cost counts as `retry_tokens`.
    """
    filesystem, parts = staged_parts(folder)
    if not parts:
        return
    staged = (
        stage.spark.read.schema(COMPLETION.schema)
        # A part without a footer was cut off or is still being written: it is not there yet.
        .options(ignoreCorruptFiles="true", ignoreMissingFiles="true", pathGlobFilter="part-*")
        .parquet(pattern_of(folder))
    )
    file = F.col("_metadata.file_name")
    removed_here = [p.base_name for p in parts if _may_go(stage.run_id, p)]  # so that each is counted once
    _record_later_answers(stage, staged.where(file.isin(removed_here)))
    metadata = {"run_id": stage.run_id, "stage": stage.name}
    stage.warehouse.insert("completion", best(staged), metadata)
    held = stage.warehouse.read("completion").select("request_id", F.col("finish_reason").alias("held"))  # unique
    found = staged.select("request_id", "finish_reason", file.alias("part")).join(held, "request_id")
    better = F.count_if(F.expr(_worth("finish_reason")) < F.expr(_worth("held")))
    by_part = found.groupBy("part").agg(F.count("*").alias("rows"), better.alias("better")).collect()
    if any(r["better"] for r in by_part):
        worth_more = f"{_worth('new.finish_reason')} < {_worth('known.finish_reason')}"
        stage.warehouse.insert("completion", best(staged), metadata, better=worth_more)
    rows_in_ledger = {r["part"]: r["rows"] for r in by_part}
    for part in parts:
        _remove_or_report(stage.run_id, filesystem, part, rows_in_ledger.get(part.base_name, 0))


def _is_old(part: FileInfo) -> bool:
    return time.time() - part.mtime.timestamp() > STALE_SECONDS


def _may_go(run_id: str, part: FileInfo) -> bool:
    return part.base_name.startswith(part_prefix(run_id)) or _is_old(part)


def _remove_or_report(run_id: str, filesystem: FileSystem, part: FileInfo, in_ledger: int) -> None:
    """Remove a part that nobody needs any more; say which one could not be taken in."""
    counts = part_counts(part.base_name)
    try:
        if counts is not None and counts.rows == in_ledger:
            if _may_go(run_id, part):
                filesystem.delete_file(part.path)
        elif is_cut_off(filesystem, part.path):
            if _is_old(part):
                filesystem.delete_file(part.path)
        else:
            CONSOLE.print(
                f"[yellow]ledger: {in_ledger} of the completions in {part.path} could be taken in; the file is kept, and "
                "the next call reads it again"
            )
    except FileNotFoundError:
        pass  # its own run removed it meanwhile
    except OSError as error:
        CONSOLE.print(f"[yellow]ledger: {part.path} cannot be read ({error}); it is kept, the next call tries again")


def release(warehouse: Warehouse, where: str) -> int:
    """Delete the refused completions that match a SQL predicate, so that their requests are asked again; returns their
    number.

    Raises ConfigError for a predicate that is none.
    """
    refused = f"finish_reason = '{FinishReason.REFUSED}' and ({where})"
    try:
        count = warehouse.read("completion").where(refused).count()
    except PySparkException as error:
        raise ConfigError(f"--where {where}: {str(error).splitlines()[0]}") from None
    if count:
        warehouse.delete("completion", refused)
        warehouse.set_property("completion", _RELEASED, str(time.time()))
    return count


def last_release(warehouse: Warehouse) -> float | None:
    """When refusals were last released, in seconds since the epoch; None where they never were."""
    found = warehouse.properties("completion").get(_RELEASED) if warehouse.exists("completion") else None
    return None if found is None else float(found)


def look_up(requests: DataFrame, ledger: DataFrame) -> DataFrame:
    """REQUEST rows (unique by request_id) with `held`: true where the `ledger` has a completion, false where it has a
    failed one, which is asked again, null where it has none."""
    failed = F.col("finish_reason") == FinishReason.FAILED
    return requests.join(ledger.select("request_id", (~failed).alias("held")), "request_id", "left")
