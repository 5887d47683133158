"""Runs jobs: one alone (spark-submit), or several in order in one session (`boostqa run`), round after round."""

import argparse
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from boostqa import config as conf
from boostqa.console import CONSOLE
from boostqa.databricks import end
from boostqa.errors import BoostQAError, ConfigError, GateFailed, cause, first_line
from boostqa.freshness import Freshness, declared
from boostqa.preflight import preflight
from boostqa.report import last_status, page, status
from boostqa.report.token_usage import write_token_usage
from boostqa.rounds import Step, steps
from boostqa.running import Running
from boostqa.session import spark_session
from boostqa.storage import upkeep
from boostqa.storage.catalog import check_lasting, place_of
from boostqa.storage.lease import lease
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.mlflow_runs import log_token_usage, pipeline_mlflow_run
from boostqa.tracking.outbox import Outbox
from boostqa.tracking.stage_run import StageRun, code_revision, new_run_id, stage_run
from boostqa.vocabulary import NO_ROUND, ONLY_ROUND, ROUND_STAGES, STAGES, Outcome
from udfs.generate import Connect

Job = Callable[[StageRun], None]


def job(stage: str) -> Job:
    """The `main` of a stage's file in jobs/."""
    return declared(stage)["main"]


def run(
    config: conf.Config,
    stages: Sequence[str],
    connect: Connect | None = None,
    force: Collection[str] = (),
    in_round: str | None = None,
) -> str:
    """Run those of the stages that are not current, and those to `force`, in order in one session; returns the run id.

    They run in each round of the conf, or in one. Raises the errors of errors.py; ConfigError when a stage before them is
    not current. `connect` replaces the engines of all model calls (tests).
    """
    chosen = _chosen(config, stages, force, in_round)
    preflight(config)
    Outbox(config).check_server()
    run_id = new_run_id()

    def session() -> SparkSession:
        spark = spark_session(f"boostqa {run_id}", config.spark.master, config.spark.conf)
        check_lasting(spark, config.warehouse, config.generation.ledger)
        return spark

    with lease(config.warehouse, run_id, session):
        _run(session(), config, chosen, run_id, connect, force)
    return run_id


def _chosen(config: conf.Config, stages: Sequence[str], force: Collection[str], in_round: str | None) -> list[Step]:
    if in_round is not None:
        config.round(in_round)
    elif len(config.rounds) > 1 and (once := [stage for stage in force if stage in ROUND_STAGES]):
        raise ConfigError(
            f"--force {once[0]}: in which round? add --round, one of {', '.join(r.name for r in config.rounds)}"
        )
    return [s for s in steps(config) if s.stage in stages and (in_round is None or s.round in (in_round, NO_ROUND))]


def where_it_writes(warehouse: str, has_run: bool) -> str:
    """Which warehouse a run means, and whether it starts from nothing there: a relative one follows the working directory."""
    return f"warehouse {place_of(warehouse)}" + ("" if has_run else ": no stage has run here yet")


def _run(
    spark: SparkSession,
    config: conf.Config,
    chosen: list[Step],
    run_id: str,
    connect: Connect | None,
    force: Collection[str],
) -> None:
    tables = Warehouse(spark, config.warehouse, config.generation.ledger)
    fresh = Freshness(spark, config, tables)
    CONSOLE.print(where_it_writes(config.warehouse, bool(fresh.last)), markup=False, highlight=False, soft_wrap=True)
    fresh.refuse_gaps(chosen)
    current = list(takewhile(lambda step: step.stage not in force and fresh.why_not(step) is None, chosen))
    if len(current) == len(chosen):
        told = ", ".join(map(str, chosen))
        CONSOLE.print(f"nothing to do: {told} are what the conf asks for (boostqa status; --force STAGE)")
        return
    for step in current:
        _announce_current(tables, step)
    with pipeline_mlflow_run(config, run_id, code_revision(), fresh.conf_hash) as tracking:
        try:
            running = Running(progress_folder(config), run_id)
            _run_steps(spark, fresh, chosen, len(current), running, connect, force)
        except BoostQAError:
            _try("write the token usage", lambda: log_token_usage(write_token_usage(tables, run_id)))
            if fresh.last:
                _try("show the status", lambda: _show(tables, config))
            raise
        log_token_usage(write_token_usage(tables, run_id))
        _show(tables, config)
    for text in status.where_to_look(config.output, [r.name for r in config.rounds], tracking):
        CONSOLE.print(text, highlight=False, soft_wrap=True)


def _show(tables: Warehouse, config: conf.Config) -> None:
    """Print what the tables hold, keep it for `boostqa status`, and write the page of it."""
    versions = last_status.versions(tables.location, config.generation.ledger)
    facts = status.collect(tables)
    last_status.keep(tables.location, versions, facts)
    status.show(facts, CONSOLE)
    _try("write the report", lambda: page.write(config.output, page.collect(tables, facts)))


def progress_folder(config: conf.Config) -> str | None:
    """Where a run tells how far it is: the warehouse, or the staging folder of one in a catalog."""
    place = place_of(config.warehouse)
    return config.generation.staging if place.names else place.path


def _try(what: str, action: Callable[[], object]) -> None:
    """Do what must not hide why the pipeline stopped."""
    try:
        action()
    except Exception as error:  # noqa: BLE001
        CONSOLE.print(f"could not {what}: {first_line(error)}", style="yellow", markup=False)


def _announce(step: Step, why: str) -> None:
    CONSOLE.print(f"[bold]{STAGES.index(step.stage) + 1}/{len(STAGES)} {step}[/]: {why}", highlight=False)


def _announce_current(tables: Warehouse, step: Step) -> None:
    """Raises GateFailed for a gate whose verdicts block what follows."""
    _announce(step, "current")
    if step.stage != ROUND_STAGES[-1]:
        return
    verdicts = tables.read("verdict").where(F.col("round") == step.round)
    if blocking := verdicts.where(F.col("outcome") == Outcome.BLOCKS).count():
        others = f"; --round goes on with another one, without {step.round}" if step.round != ONLY_ROUND else ""
        raise GateFailed(
            f"{blocking} gates block in the verdict table: nothing follows {step}; run the gate again after mending{others}"
        )


def _run_steps(
    spark: SparkSession,
    fresh: Freshness,
    chosen: list[Step],
    first: int,
    running: Running,
    connect: Connect | None,
    force: Collection[str],
) -> None:
    run_id = running.run_id
    for step in chosen[first:]:
        began, why = time.monotonic(), "--force" if step.stage in force else fresh.why_not(step)
        if why is None:
            _announce_current(fresh.tables, step)
            continue
        _announce(step, why)
        if step.stage == STAGES[-1] and step != chosen[first]:
            fresh.refuse_gaps(chosen)  # a round that is not among them builds on what was made just now
        config = fresh.config.of_round(step.round)
        about = (fresh.basis(step), fresh.conf_hash)
        with running.stage(str(step)), stage_run(spark, config, step, run_id, *about, connect, running) as stage:
            job(step.stage)(stage)
        fresh.record(step, stage.recorded)
        rows, counts = stage.rows, stage.usage.counts
        told = (
            f"{rows['rows_in']} in, {rows['kept']} kept, {rows['rejected']} rejected, "
            f"{counts['generated_tokens']} tokens generated, {counts['reused']} of "
            f"{counts['requests']} requests from the ledger, {time.monotonic() - began:.0f} s"
        )
        running.done.append(f"{step}: {told}")
        CONSOLE.print(f"  {told}")
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
    except Exception as error:  # noqa: BLE001  a bug, or an environment that failed: the sentence first, the trace in a file
        with tempfile.NamedTemporaryFile("w", prefix="boostqa-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        told = cause(error) or f"unexpected {type(error).__name__}: {first_line(error)}"
        CONSOLE.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
        CONSOLE.print(f"  the full trace is in {log.name}; finished generations are kept in the ledger")
        return 1


def submit(stage: str) -> None:
    """Entry point of a job under spark-submit: `jobs/NN_stage.py --config FILE [--round NAME] [--set key=value ...]`."""
    parser = argparse.ArgumentParser(description=f"BoostQA stage {stage}")
    parser.add_argument("--config", required=True, help="conf file (YAML), a path or URI")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one conf value")
    parser.add_argument("--force", action="store_true", help="run the stage although it is current")
    if stage in ROUND_STAGES:
        parser.add_argument("--round", help="round of the conf (required where it declares several)")
    args = parser.parse_args()

    def action() -> None:
        config, name = conf.load(args.config, args.set), getattr(args, "round", None)
        if name is None and stage in ROUND_STAGES and len(config.rounds) > 1:
            raise ConfigError(f"--round: name one of {', '.join(r.name for r in config.rounds)}")
        run(config, [stage], force=[stage] if args.force else [], in_round=name)

    end(report_errors(action))


def maintain(config: conf.Config) -> list[dict[str, Any]]:
    """storage.upkeep of a warehouse, which no run writes meanwhile. Raises ConfigError where one does."""
    with lease(config.warehouse, new_run_id(), lambda: warehouse(config).spark):
        return upkeep.maintain(warehouse(config))


def warehouse(config: conf.Config) -> Warehouse:
    """The tables of a conf, in a session of their own."""
    spark = spark_session("boostqa", config.spark.master, config.spark.conf)
    return Warehouse(spark, config.warehouse, config.generation.ledger)
