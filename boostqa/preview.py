"""The whole line on a few requests, for people who work on prompts: `boostqa preview`.

Seeds, their labels and the probe's scores are those of the warehouse; without seeds they are read here, without labels
n seeds are labelled, and a checkpoint is never probed for a preview: without scores every cell counts as a full
deficit. The round is the last one that was probed. The plan is made anew over all seeds, so that a change of the conf
shows and the requests are those of the real run, and n of its rows are taken. They go through synthesize, refine,
clean, gate and mix as in a run, but for: no controls travel with them (what voter and judge are worth is what the last
run found; without one neither is believed), gates stop nothing, and only the ledger is written, so that a second preview pays nothing and a real run nothing for the
same requests (a later try of a seed also shows what else was asked of it). All other tables stay in memory
(storage/scratch.py); MLflow hears nothing.
"""

import tempfile
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from boostqa.calls.models import target_tokenizer
from boostqa.config import Config, Controls
from boostqa.console import CONSOLE
from boostqa.errors import GateFailed
from boostqa.export.blended import blended, stored, tables_of
from boostqa.pipeline import job
from boostqa.preflight import preflight
from boostqa.report.side_by_side import items_of
from boostqa.schemas import PROBE
from boostqa.session import spark_session
from boostqa.stages import quarantine
from boostqa.storage.catalog import check_lasting
from boostqa.storage.scratch import Scratch
from boostqa.storage.warehouse import Written
from boostqa.tracking.stage_run import StageRun, new_run_id
from boostqa.vocabulary import NO_ROUND, ItemTable
from udfs.generate import Connect

SHOWN = ("held_out", "seed", "annotation", "probe", "power")  # tables of the warehouse that a preview reads
SALT = "preview"


class Trial(StageRun):
    """A stage's run in which an empty table is a result (all was rejected before), and no check is measured anew."""

    def read(self, name: str, required: bool = True, version: int | None = None) -> DataFrame:
        """A table, which may be empty."""
        return super().read(name, required=False, version=version)

    def store(self, df: DataFrame) -> DataFrame:
        """The rows, computed once and kept in memory: a preview leaves no files."""
        return df.localCheckpoint()

    def write(self, name: str, df: DataFrame, where: str | None = None) -> int:
        """Replace a table (or its rows matching `where`) and return the rows written; `power` stays as the warehouse has
        it."""
        if name == "power" and self.warehouse.exists(name):
            self.outputs[name] = Written(name, self.warehouse.version(name), 0, "")
            return 0
        return super().write(name, df, where)


def drawn(plan: DataFrame, count: int) -> DataFrame:
    """The first `count` PLAN rows by hash, each pair of strategy and format once before any twice; of a seed the first
    sample before others, whose prompts show what was asked before."""
    order = (F.col("sample_index"), F.xxhash64("plan_id", F.lit(SALT)), F.col("plan_id"))
    place = F.row_number().over(Window.partitionBy("strategy", "format").orderBy(*order))
    first = plan.withColumn("place", place).where(F.col("place") <= count)
    return first.orderBy("place", *order).limit(count).drop("place")


def _make_plan(run: Any, tables: Scratch, count: int) -> None:
    """Leave `count` rows in the table `plan`; `run` runs a stage by name."""
    if not (tables.exists("seed") and tables.exists("held_out")):
        run("seed")
    seeds = tables.read("seed")
    labelled = tables.exists("annotation") and not (
        tables.read("annotation").where(F.col("item_table") == ItemTable.SEED).isEmpty()
    )
    if not labelled:
        few = seeds.orderBy(F.xxhash64("seed_id", F.lit(SALT)), "seed_id").limit(count)
        tables.write("seed", few)
        run("annotate")
    if not tables.exists("probe"):
        tables.write("probe", tables.spark.createDataFrame([], PROBE.stored))
    run("plan")
    tables.write("plan", drawn(tables.read("plan"), count))


def _round(config: Config, tables: Scratch) -> str:
    """The last round of the conf that was probed, or its first."""
    rows = tables.read("probe").select("round").distinct().collect() if tables.exists("probe") else []
    probed = {row["round"] for row in rows}
    return next((r.name for r in reversed(config.rounds) if r.name in probed), config.rounds[0].name)


def preview(config: Config, count: int, connect: Connect | None = None) -> dict[str, Any]:
    """{"items": what became of each of `count` requests (report/side_by_side.py), "gates": verdicts on these alone,
    "cost": requests, reused ones, generated tokens of this preview, seconds}. Raises the errors of errors.py.

    `connect` replaces the engines of all model calls (tests).
    """
    preflight(config)
    began, counts = time.monotonic(), Counter[str]()
    spark = spark_session("boostqa preview", config.spark.master, config.spark.conf)
    check_lasting(spark, config.warehouse, config.generation.ledger)
    tables, run_id = Scratch(spark, config.warehouse, config.generation.ledger, SHOWN), new_run_id()
    with tempfile.TemporaryDirectory(prefix="boostqa-preview-") as folder:
        few = config.plan.model_copy(update={"when_short": "lower"})  # n labelled seeds do not bear a whole budget
        trial = config.model_copy(update={"output": folder, "controls": Controls(), "plan": few})

        in_round = _round(config, tables)

        def run(name: str) -> None:
            CONSOLE.print(f"[bold]{name}")
            stage = Trial(spark, trial.of_round(in_round), name, run_id, tables, in_round, connect)
            try:
                job(name)(stage)
            finally:
                counts.update(stage.usage.counts)

        _make_plan(run, tables, count)
        for name in ("synthesize", "refine", "clean"):
            run(name)
        with suppress(GateFailed):  # its verdicts are shown
            run("gate")
    # Not job 9, which exports: here what the gate holds back is rendered, too, and has a reject that says so.
    frames = {name: tables.rows(name) for name in tables_of(trial.mix)}
    held = quarantine.split(frames["clean"], frames["quarantine"])[1]
    everything = frames | {name: frames[name].limit(0) for name in ("quarantine", "withdrawal")}
    with stored() as store:
        rows, over, *_ = blended(everything, trial.mix, target_tokenizer(trial), store)
        tables.write("mix", rows)
        rejects = held.unionByName(over).withColumns({"run_id": F.lit(run_id), "round": F.lit(NO_ROUND)})
        tables.write("reject", rejects, "stage = 'mix'")
    gates = [r.asDict() for r in tables.read("verdict").orderBy("table", "gate").collect()]
    cost = {name: counts[name] for name in ("requests", "reused", "prompt_tokens", "generated_tokens")}
    plan = [r.asDict() for r in tables.read("plan").collect()]
    return {"items": items_of(tables, plan), "gates": gates, "cost": cost | {"seconds": time.monotonic() - began}}
