"""One model call: requests minus ledger -> udfs.generate -> ledger."""

import json
import re
import time
from collections import Counter

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from boostqa.calls.balance import balance_partitions
from boostqa.calls.batches import generate_in_batches, take_in_batches
from boostqa.calls.ledger import look_up, merge_staged_parts
from boostqa.calls.models import ModelSpec, local_folder
from boostqa.calls.placement import profile, refuse_speculation
from boostqa.calls.progress import progress_of
from boostqa.calls.requests import REQUEST_COLUMNS
from boostqa.console import CONSOLE
from boostqa.databricks import provide_key
from boostqa.errors import ConfigError, ContractError
from boostqa.schemas import COMPLETION
from boostqa.tracking.stage_run import StageRun
from udfs.engines.messages import CallSettings
from udfs.generate import TASK_SCHEMA, generate


def complete(stage: StageRun, requests: DataFrame, spec: ModelSpec) -> DataFrame:
    """Complete every request that the ledger does not hold; returns the ledger, for an inner join on `request_id`.

    `requests` holds REQUEST_COLUMNS (other columns are ignored); the same request_id may occur in several rows. Raises
    ConfigError when the engine cannot start or cannot be placed, ContractError when a request came back without a
    completion.
    """
    folder, counts = stage.staging_folder(), stage.usage.counts
    stage.warehouse.create("completion")
    merge_staged_parts(stage, folder)
    settings = _call_settings(stage, spec, folder)
    in_batches = bool(settings["endpoint"] and settings["endpoint"]["batch"])
    if spec.model.endpoint and spec.model.endpoint.key_env:
        provide_key(stage.spark, spec.model.endpoint.key_env, stage.config.generation.databricks_scope)
    if in_batches:
        take_in_batches(stage, settings)
    unique = requests.select(*REQUEST_COLUMNS).dropDuplicates(["request_id"])  # rows of one id differ in nothing
    # Stored, not cached: the MERGE of what was generated would drop a cache that reads the ledger.
    found = stage.store(look_up(unique, stage.warehouse.read("completion")))
    rows_by_held = {r["held"]: r["count"] for r in found.groupBy("held").count().collect()}
    reused = rows_by_held.get(True, 0)
    pending = sum(rows_by_held.values()) - reused
    counts["requests"] += pending + reused
    counts["reused"] += reused
    if pending:
        not_held = ~F.coalesce("held", F.lit(False))
        asked = found.where(not_held).drop("held")
        if not stage.connect:
            refuse_speculation(stage.spark)
        if in_batches:
            generate_in_batches(stage, asked, settings)
        else:
            _generate(stage, asked, spec, settings, pending)
            merge_staged_parts(stage, folder)
        held = stage.warehouse.read("completion").select("request_id")
        if missing := found.join(held, "request_id", "left_anti").count():
            raise ContractError(
                f"stage {stage.name}: {missing} of {pending} requests have no completion; run the stage again"
            )
    stage.inputs["completion"] = stage.warehouse.version("completion")
    return stage.warehouse.read("completion", stage.inputs["completion"])


def _call_settings(stage: StageRun, spec: ModelSpec, folder: str) -> CallSettings:
    conf, model = stage.config.generation, spec.model
    return {
        "model": str(local_folder(model) or model.id),  # executors have other working directories
        "revision": model.revision,
        "engine": spec.engine.model_dump(),
        "endpoint": model.endpoint.model_dump() if model.endpoint else None,
        "tasks": conf.engines,
        "env": conf.env,
        "resident_engines": conf.resident_engines,
        "idle_seconds": conf.idle_seconds,
        "start_seconds": conf.start_seconds,
        "stall_seconds": conf.stall_seconds,
        "max_attempts": conf.max_attempts,
        "tokens_in_flight": conf.tokens_in_flight,
        "flush_rows": conf.flush_rows,
        "flush_seconds": conf.flush_seconds,
        "staging": folder,
        "schema": to_arrow_schema(COMPLETION.schema).serialize().to_pybytes(),
        "run_id": stage.run_id,
    }


def _generate(stage: StageRun, pending: DataFrame, spec: ModelSpec, settings: CallSettings, total: int) -> None:
    conf, model, connect = stage.config.generation, spec.model, stage.connect
    placement = None if model.endpoint or connect else profile(stage.spark, conf, spec.engine)
    balanced = balance_partitions(pending, stage.warehouse.read("completion"), conf.engines)
    began = time.monotonic()
    try:
        with progress_of(settings["staging"], stage.run_id, total, stage.name, stage.running):
            tasks = balanced.mapInPandas(
                lambda b: generate(b, settings, connect), TASK_SCHEMA, profile=placement
            ).collect()
    except PySparkException as error:
        cause = re.search(r"EngineDied: (.*)", str(error))
        if cause is None:
            raise
        raise _no_engine(stage, model.id, cause[1]) from error
    finally:
        stage.usage.generation_seconds += time.monotonic() - began
    stage.usage.add_call(model.id, [task.asDict() for task in tasks])
    if reasons := sum((Counter(json.loads(task["server_reasons"])) for task in tasks), Counter()):
        named = ", ".join(f"{name} {n}" for name, n in reasons.most_common())
        CONSOLE.print(
            f"  {stage.name}: whole answers whose end the server calls by other names: {named}", highlight=False
        )
    if unusable := sorted({task["unusable"] for task in tasks if task["unusable"]}):
        raise _no_engine(stage, model.id, unusable[0])


def _no_engine(stage: StageRun, model: str, why: str) -> ConfigError:
    kept = "check model.* and engine.* in the conf; what was finished before is kept and will not be asked again"
    return ConfigError(f"stage {stage.name}: no engine for model {model}: {why}\n  {kept}")
