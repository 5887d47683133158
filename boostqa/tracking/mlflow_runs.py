"""MLflow: a parent run for each run of the pipeline, a child run for each stage, figures as metrics, lineage as
parameters."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boostqa import prompts
from boostqa.config import Config, redacted
from boostqa.errors import first_line
from boostqa.tracking import params as conf_params
from boostqa.tracking.model_usage import USAGE_COUNTS
from boostqa.tracking.outbox import Outbox, Record

_open: list[tuple[Outbox, Record]] = []  # the pipeline's run, and the stage's in it


def _now() -> int:
    return int(time.time() * 1000)


@contextmanager
def _mlflow_run(outbox: Outbox, record: Record) -> Iterator[Record]:
    """The active run of MLflow; its end is told, whichever it is."""
    _open.append((outbox, record))
    try:
        yield record
        record.status = "FINISHED"
    except BaseException as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        record.tags |= {"error": str(redacted(why)), "mlflow.note.content": str(redacted(why))}
        record.status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        raise
    finally:
        _open.pop()
        record.ended = _now()
        outbox.send(record)


@contextmanager
def pipeline_mlflow_run(config: Config, run_id: str, code_revision: str, conf_hash: str) -> Iterator[str]:
    """The MLflow parent run; yields where it can be seen.

    Raises ConfigError when the tracking server does not answer now; later on that is a warning.
    """
    outbox = Outbox(config)
    record = Record(run_id, run_id, _now(), tags={"run_id": run_id})
    about = {"code_revision": code_revision, "conf_hash": conf_hash, "warehouse": str(redacted(config.warehouse))}
    record.params = conf_params.of_run(config) | about
    record.conf = redacted(config.model_dump(mode="json"))
    outbox.open(record)
    outbox.send(record)
    ui = f"mlflow ui --backend-store-uri {redacted(outbox.uri)}   (run {record.mlflow_run_id})"
    try:
        with _mlflow_run(outbox, record), _system_metrics(config, outbox, record):
            yield ui if outbox.uri else str(record.mlflow_run_id)
    finally:
        outbox.send_unsent()


@contextmanager
def _system_metrics(config: Config, outbox: Outbox, record: Record) -> Iterator[None]:
    """Measures the driver's machine, where the conf asks for it."""
    if not (config.mlflow.system_metrics and record.mlflow_run_id):
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(record.mlflow_run_id, tracking_uri=outbox.uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


@contextmanager
def stage_mlflow_run(name: str) -> Iterator[Record]:
    """The MLflow child run of a stage; yields its record, whose id is None while MLflow is away."""
    outbox, parent = _open[-1]
    record = Record(f"{parent.key}-{name.replace('/', '-')}", name, _now(), parent=parent.mlflow_run_id)
    outbox.send(record)
    with _mlflow_run(outbox, record):
        yield record


def log_metrics(metrics: dict[str, float]) -> None:
    """Figures of the active MLflow run."""
    _, record = _open[-1]
    record.metrics += [(name, value, _now(), 0) for name, value in metrics.items()]


def log_stage(run: dict[str, Any], engine_rates: list[float], config: Config, places: dict[str, str]) -> None:
    """A RUN row as metrics, parameters and inputs of the active MLflow run, with the conf that bears on it; a step for each
    engine's tokens per second. Of a stage that failed the row has what there is. `places`: table -> where it lies."""
    figures = ("rows_in", "fan_out", "kept", "rejected", *USAGE_COUNTS, "seconds", "generation_seconds")
    metrics = {name: float(run[name]) for name in figures if name in run}
    if run["generation_seconds"]:
        metrics["tokens_per_second"] = run["generated_tokens"] / run["generation_seconds"]
        metrics["idle_tail_share"] = run["idle_tail_share"] or 0.0
    metrics |= {f"rejected.{rule}": float(n) for rule, n in run["rejected_by_rule"].items()}
    log_metrics(metrics)
    _, record = _open[-1]
    record.metrics += [("engine_tokens_per_second", rate, _now(), step) for step, rate in enumerate(engine_rates)]
    params: dict[str, Any] = {"code_revision": run["code_revision"], "conf_hash": run["conf_hash"]}
    params |= {f"input.{table}": version for table, version in run["inputs"].items()}
    params |= {f"output.{table}": version for table, version in run["outputs"].items()}
    params |= {f"hash.{table}": digest for table, digest in run["hashes"].items()}
    if run["requests"]:
        params |= {f"prompt.{name}": prompts.load(name).sha256 for name in prompts.names()}
    record.params |= conf_params.of_stage(config, run["stage"]) | {name: str(value) for name, value in params.items()}
    record.inputs = [(table, places[table], version) for table, version in run["inputs"].items()]


def log_texts(texts: dict[str, str]) -> None:
    """Text (SVG, HTML, Markdown, JSON) by file name, as artifacts of the active MLflow run, which shows them; a preview has
    none."""
    if _open:
        _, record = _open[-1]
        record.figures |= texts


def log_token_usage(by_cause: dict[str, dict[str, int]]) -> None:
    """Where the tokens went, as metrics of the active MLflow run: generated ones `token_usage.CAUSE`, and
    `token_usage.CAUSE.prompt_tokens` and `.cached_tokens`."""
    metrics = {f"token_usage.{cause}": float(sums["tokens"]) for cause, sums in by_cause.items()}
    for kind in ("prompt_tokens", "cached_tokens"):
        metrics |= {f"token_usage.{cause}.{kind}": float(sums[kind]) for cause, sums in by_cause.items()}
    log_metrics(metrics)
