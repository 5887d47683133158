"""One execution of one stage: the reader and writer a job uses, and the balance of rows it owes at the end."""

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from boostqa import __version__
from boostqa.config import Config
from boostqa.errors import ConfigError, ContractError, GateFailed
from boostqa.rounds import Step
from boostqa.running import Running
from boostqa.schemas import ENGINE_TASK, RUN, TABLES
from boostqa.storage.warehouse import Warehouse, Written
from boostqa.tracking.mlflow_runs import log_stage, stage_mlflow_run
from boostqa.tracking.model_usage import ModelUsage
from boostqa.vocabulary import NO_ROUND, ROUND_STAGES
from udfs.files import file_system, pattern_of
from udfs.generate import Connect


def new_run_id() -> str:
    """UTC time and a random tail: sorts by start, unique across drivers."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


@cache
def code_revision() -> str:
    """Git revision of the code ('+' when it was changed since), or the package version where there is no git."""
    try:
        here = Path(__file__).parent
        git = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=40"]
        return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return __version__


@dataclass
class StageRun:
    """What a job is given. `connect` replaces the engines of its model calls (tests and bench)."""

    spark: SparkSession
    config: Config
    name: str
    run_id: str
    warehouse: Warehouse
    round: str = NO_ROUND
    connect: Connect | None = None
    inputs: dict[str, int] = field(default_factory=dict)  # table -> Delta version
    outputs: dict[str, Written] = field(default_factory=dict)
    rejected_by_rule: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)  # the balance, once it was checked
    basis: dict[str, str] = field(default_factory=dict)  # what decides its rows -> digest
    conf_hash: str = ""  # of all of the conf that changes rows
    recorded: dict[str, Any] = field(default_factory=dict)  # its RUN row, once it is written
    usage: ModelUsage = field(init=False)
    stored: int = 0  # results of `store` so far
    running: Running = field(default_factory=Running)  # what it tells of itself

    def __post_init__(self) -> None:
        self.usage = ModelUsage(self.run_id, self.name)

    def read(self, name: str, required: bool = True, version: int | None = None) -> DataFrame:
        """The rows of a table that are of this round or of none, at `version` (default: the latest), which is recorded as
        input.

        Raises ContractError when the table is missing, breaks its contract, or is empty though `required`.
        """
        df = self._own(name, self._read(name, version))
        if required and df.isEmpty():
            raise ContractError(
                f"stage {self.name}: table {name} is empty, so there is nothing to do\n"
                "  see why its rows were rejected: boostqa status --config ..., "
                f"or the reject table in {self.warehouse.location}"
            )
        return df

    def _read(self, name: str, version: int | None = None) -> DataFrame:
        if name not in self.inputs and self.warehouse.exists(name):
            self.inputs[name] = self.warehouse.version(name) if version is None else version
        return self.warehouse.read(name, self.inputs.get(name))

    def _own(self, name: str, df: DataFrame) -> DataFrame:
        return df.where(F.col("round").isin(self.round, NO_ROUND)).drop("round") if TABLES[name].by_round else df

    def earlier_rounds(self) -> list[str]:
        """The rounds before this one, in order; all of them for a stage of no round."""
        names = [r.name for r in self.config.rounds]
        return names[: names.index(self.round)] if self.round else names

    def read_earlier(self, name: str) -> DataFrame:
        """The rows that the rounds before this one left in a table, with their `round`; none where it was not written. Of a
        table that is not by round all rows."""
        earlier = self.earlier_rounds()
        if not earlier or not self.warehouse.exists(name):
            return self.spark.createDataFrame([], TABLES[name].stored)
        df = self._read(name)
        return df.where(F.col("round").isin(earlier)) if TABLES[name].by_round else df

    def read_back(self, name: str) -> DataFrame:
        """The rows of this round or of none in the version of a table that this execution wrote."""
        return self._own(name, self.warehouse.read(name, self.outputs[name].version))

    def write(self, name: str, df: DataFrame, where: str | None = None) -> int:
        """Replace the rows of this round in a table (or those of them that match `where`) and return the rows written."""
        return self._replace(name, df, where).rows

    def _replace(self, name: str, df: DataFrame, where: str | None) -> Written:
        metadata = {
            "run_id": self.run_id,
            "stage": self.name,
            "round": self.round,
            "code": code_revision(),
            "inputs": self.inputs,
            "basis": self.basis,
        }
        if TABLES[name].by_round:
            df = df.withColumn("round", F.lit(self.round))
            # Rows of no round are told apart by stage or kind alone: in an earlier release they were of the only round.
            of_round = f"round = '{self.round}'" if self.round else None
            where = " and ".join(f"({part})" for part in (of_round, where) if part) or None
        written = self.outputs[name] = self.warehouse.write(name, df, where, metadata)
        return written

    def append(self, name: str, df: DataFrame) -> DataFrame:
        """Add rows to an existing table; no rows make no new version. Returns the table as it is then."""
        if not df.isEmpty():
            self.warehouse.append(name, df, {"run_id": self.run_id, "stage": self.name, "round": self.round})
        self.outputs[name], _ = self.warehouse.measure(name)
        return self.read_back(name)

    def staging_folder(self) -> str:
        """Where tasks flush part files and `store` writes: `generation.staging`, or `_staging` beside the ledger."""
        if folder := self.config.generation.staging:
            return folder
        ledger = self.warehouse.place("completion")
        if ledger.names:
            raise ConfigError(f"generation.staging is required with a ledger in a catalog ({ledger})")
        return f"{ledger.path.rpartition('/')[0]}/_staging"

    def _store_folder(self) -> str:
        return f"{self.staging_folder()}/_stored/{self.run_id}-{self.round}-{self.name}"

    def store(self, df: DataFrame) -> DataFrame:
        """The rows, computed here and once, for what reads them more than once: as Parquet files until the stage ends.

        A cache would keep its whole plan in every plan that reads it, and caches on caches made of the rules on texts took
        minutes to plan and filled the driver's heap; a local checkpoint is lost with an executor.
        """
        path = f"{self._store_folder()}/{self.stored}"
        self.stored += 1
        df.write.mode("overwrite").parquet(path)
        return self.spark.read.schema(df.schema).parquet(pattern_of(path))

    def discard_stored(self) -> None:
        """Remove what `store` has written."""
        if self.stored:
            filesystem, path = file_system(self._store_folder())
            filesystem.delete_dir(path)
            self.stored = 0

    def reject(self, df: DataFrame) -> int:
        """Replace the rows of this stage and round in the reject table; returns their number."""
        where = f"stage = '{self.name}'"
        self._replace("reject", df.withColumn("run_id", F.lit(self.run_id)), where)
        by_rule = self.read_back("reject").where(where).groupBy("rule").count().collect()
        self.rejected_by_rule = {r["rule"]: r["count"] for r in sorted(by_rule)}
        return sum(self.rejected_by_rule.values())

    def check_row_balance(self, rows_in: int, kept: int, rejected: int = 0, fan_out: int = 0) -> None:
        """State where the rows went; raises ContractError unless rows_in + fan_out = kept + rejected."""
        self.rows = {"rows_in": rows_in, "fan_out": fan_out, "kept": kept, "rejected": rejected}
        if rows_in + fan_out != kept + rejected:
            raise ContractError(
                f"stage {self.name} lost or made rows: {rows_in} in + {fan_out} fan-out != "
                f"{kept} kept + {rejected} rejected; "
                "this is a bug in the stage: its tables are written, the pipeline stops here"
            )

    def run_row(self, seconds: float, mlflow_run_id: str | None) -> dict[str, Any]:
        """This execution as a RUN row."""
        return {
            "round": self.round,
            "run_id": self.run_id,
            "stage": self.name,
            "finished_at": datetime.now(UTC),
            "seconds": seconds,
            **self.rows,
            "rejected_by_rule": self.rejected_by_rule,
            **self.usage.counts,
            "generation_seconds": self.usage.generation_seconds,
            "idle_tail_share": self.usage.idle_tail_share,
            "inputs": self.inputs,
            "outputs": {t: w.version for t, w in self.outputs.items()},
            "hashes": {t: w.hash for t, w in self.outputs.items()},
            "basis": self.basis,
            "code_revision": code_revision(),
            "conf_hash": self.conf_hash,
            "mlflow_run_id": mlflow_run_id,
        }


def last_runs(warehouse: Warehouse) -> dict[tuple[str, str], dict[str, Any]]:
    """(round, stage) -> RUN row of its last execution, in the order in which they ended; empty where nothing ran."""
    if not warehouse.exists("run"):
        return {}
    runs = warehouse.read("run")
    # In an earlier release all was of the only round.
    of_round = F.when(F.col("stage").isin(*ROUND_STAGES), F.col("round")).otherwise(NO_ROUND)
    runs = runs.withColumn("round", of_round)
    last = runs.groupBy("round", "stage").agg(F.max_by(F.struct(*runs.columns), "finished_at").alias("last"))
    rows = sorted((r["last"].asDict(recursive=True) for r in last.collect()), key=lambda row: row["finished_at"])
    return {(row["round"], row["stage"]): row for row in rows}


def _clear(stage: StageRun) -> None:
    """Remove what the stage stored for itself, and write what its engines did: paid for, also when it failed then."""
    stage.discard_stored()
    if stage.usage.engine_tasks:
        rows = [{"round": stage.round, **task} for task in stage.usage.engine_tasks]
        tasks = stage.spark.createDataFrame(rows, ENGINE_TASK.stored)
        stage.warehouse.append("engine_task", tasks)


def _log(stage: StageRun, row: dict[str, Any]) -> None:
    places = {table: stage.warehouse.path(table) for table in stage.inputs}
    log_stage(row, [task["tokens_per_second"] for task in stage.usage.engine_tasks], stage.config, places)


@contextmanager
def stage_run(
    spark: SparkSession,
    config: Config,
    step: Step,
    run_id: str,
    basis: dict[str, str],
    conf_hash: str,
    connect: Connect | None = None,
    running: Running | None = None,
) -> Iterator[StageRun]:
    """Run one stage of a round inside an MLflow child run; at the end write its row of the `run` table."""
    warehouse = Warehouse(spark, config.warehouse, config.generation.ledger)
    stage = StageRun(
        spark, config, step.stage, run_id, warehouse, step.round, connect, basis=basis, conf_hash=conf_hash
    )
    stage.running = running or stage.running
    began = time.monotonic()
    failed_gate = None
    with stage_mlflow_run(str(step)) as tracked:
        try:
            yield stage
        except GateFailed as error:  # a verdict is a result: it is recorded like any other
            failed_gate = error
        except BaseException as error:
            with suppress(Exception):  # it must not hide why the stage failed
                _log(stage, stage.run_row(time.monotonic() - began, tracked.mlflow_run_id))
                if isinstance(error, Exception):
                    _clear(stage)
            raise
        _clear(stage)
        if failed_gate and not stage.rows:
            raise failed_gate
        if not stage.rows:
            raise ContractError(f"stage {step} checked no balance of its rows; this is a bug in jobs/")
        row = stage.run_row(time.monotonic() - began, tracked.mlflow_run_id)
        warehouse.append("run", spark.createDataFrame([row], RUN.stored))
        stage.recorded = row
        _log(stage, row)
        if failed_gate:
            raise failed_gate
