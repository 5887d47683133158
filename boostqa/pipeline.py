"""Runs jobs: one alone (spark-submit), or several in order in one session (`boostqa run`)."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from runpy import run_path

from pyspark.sql import SparkSession

from boostqa import config as conf
from boostqa.console import CONSOLE
from boostqa.errors import BoostQAError
from boostqa.preflight import preflight
from boostqa.report import status
from boostqa.report.token_usage import write_token_usage
from boostqa.session import ROOT, spark_session
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.mlflow_runs import log_token_usage, pipeline_mlflow_run
from boostqa.tracking.stage_run import StageRun, code_revision, new_run_id, stage_run
from boostqa.vocabulary import STAGES
from udfs.generate import Connect

Job = Callable[[StageRun], None]


def job(stage: str) -> Job:
    """The `main` of a stage's file in jobs/."""
    file = ROOT / "jobs" / f"{STAGES.index(stage) + 1:02d}_{stage}.py"
    return run_path(str(file))["main"]


def run(config: conf.Config, stages: Sequence[str], connect: Connect | None = None) -> str:
    """Run stages in order in one session; returns the run id. Raises the errors of errors.py.

    `connect` replaces the engines of all model calls (tests).
    """
    preflight(config)
    run_id = new_run_id()
    spark = spark_session(f"boostqa {run_id}", config.spark.master, config.spark.conf)
    tables = Warehouse(spark, config.warehouse, config.generation.ledger)
    try:
        with pipeline_mlflow_run(config, run_id, code_revision()) as tracking:
            try:
                _run_stages(spark, config, stages, run_id, connect)
            except BoostQAError:
                try:
                    log_token_usage(write_token_usage(tables, run_id))
                except Exception as error:  # noqa: BLE001  it must not hide why the pipeline stopped
                    CONSOLE.print(f"the token usage could not be written: {error}", style="yellow", markup=False)
                raise
            log_token_usage(write_token_usage(tables, run_id))
    finally:
        if tables.exists("run"):
            status.show(status.collect(tables), CONSOLE)
    for text in status.where_to_look(config.output, tracking):
        CONSOLE.print(text, highlight=False, soft_wrap=True)
    return run_id


def _run_stages(
    spark: SparkSession, config: conf.Config, stages: Sequence[str], run_id: str, connect: Connect | None
) -> None:
    for name in stages:
        began = time.monotonic()
        CONSOLE.print(f"[bold]{STAGES.index(name) + 1}/{len(STAGES)} {name}")
        with stage_run(spark, config, name, run_id, connect) as stage:
            job(name)(stage)
        rows, counts = stage.rows, stage.usage.counts
        CONSOLE.print(
            f"  {rows['rows_in']} in, {rows['kept']} kept, {rows['rejected']} rejected, "
            f"{counts['generated_tokens']} tokens generated, {counts['reused']} of "
            f"{counts['requests']} requests from the ledger, {time.monotonic() - began:.0f} s"
        )
        spark.catalog.clearCache()


def report_errors(action: Callable[[], object]) -> int:
    """Run `action`; print an error a user can act on as one message and return the exit code."""
    try:
        action()
        return 0
    except BoostQAError as error:
        CONSOLE.print(f"{type(error).__name__}: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        CONSOLE.print("stopped; finished generations are kept: the same command goes on from there")
        return 130
    except Exception as error:  # noqa: BLE001  a bug or an environment nobody foresaw: the sentence first, the trace in a file
        with tempfile.NamedTemporaryFile("w", prefix="boostqa-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        first = next(iter(str(error).strip().splitlines()), "")
        CONSOLE.print(f"unexpected {type(error).__name__}: {first[:500]}", style="red", markup=False, soft_wrap=True)
        CONSOLE.print(
            f"  the full trace is in {log.name}; what was generated is kept: the same command goes on from there"
        )
        return 1


def submit(stage: str) -> None:
    """Entry point of a job under spark-submit: `jobs/NN_stage.py --config FILE [--set key=value ...]`."""
    parser = argparse.ArgumentParser(description=f"BoostQA stage {stage}")
    parser.add_argument("--config", required=True, help="conf file (YAML)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one conf value")
    args = parser.parse_args()
    sys.exit(report_errors(lambda: run(conf.load(args.config, args.set), [stage])))


def warehouse(config: conf.Config) -> Warehouse:
    """The tables of a conf, in a session of their own."""
    spark = spark_session("boostqa", config.spark.master, config.spark.conf)
    return Warehouse(spark, config.warehouse, config.generation.ledger)
