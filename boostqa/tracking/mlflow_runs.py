"""MLflow: a parent run for each run of the pipeline, a child run for each stage, figures as metrics, lineage as
parameters."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from boostqa import prompts
from boostqa.config import Config, redacted
from boostqa.storage.warehouse import is_local
from boostqa.tracking.model_usage import USAGE_COUNTS

METRICS_PER_CALL = 1000  # that MLflow takes at most


def _tracking_uri(config: Config, folder: Path) -> str | None:
    """The conf's, or SQLite in `folder`; None where the platform has a tracking server of its own."""
    if config.mlflow.tracking_uri or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return config.mlflow.tracking_uri
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder}/mlflow.db"


@contextmanager
def _mlflow_run(**about: Any) -> Iterator[Any]:
    """A run of MLflow; that its end cannot be noted never hides why it ended."""
    import mlflow

    run = mlflow.start_run(**about)
    try:
        yield run
    except BaseException as error:
        with suppress(Exception):
            mlflow.end_run("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    mlflow.end_run()


@contextmanager
def pipeline_mlflow_run(config: Config, run_id: str, code_revision: str, conf_hash: str) -> Iterator[str]:
    """The MLflow parent run; yields where it can be seen."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    import mlflow

    folder = Path(config.warehouse if is_local(config.warehouse) else ".").resolve()
    uri = _tracking_uri(config, folder)
    if uri:
        mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(config.mlflow.experiment) is None:
        sqlite = (uri or "").startswith("sqlite:")
        artifacts = (folder / "mlruns").as_uri() if sqlite else None
        mlflow.create_experiment(config.mlflow.experiment, artifact_location=artifacts)
    mlflow.set_experiment(config.mlflow.experiment)
    with _mlflow_run(run_name=run_id, tags={"run_id": run_id}) as parent:
        about = {"code_revision": code_revision, "conf_hash": conf_hash, "warehouse": config.warehouse}
        mlflow.log_params(about)
        mlflow.log_dict(redacted(config.model_dump(mode="json")), "conf.yaml")
        yield (
            f"mlflow ui --backend-store-uri {redacted(uri)}   (run {parent.info.run_id})" if uri else parent.info.run_id
        )


@contextmanager
def stage_mlflow_run(name: str) -> Iterator[str]:
    """The MLflow child run of a stage; yields its id."""
    with _mlflow_run(run_name=name, nested=True) as child:
        yield child.info.run_id


def log_stage(run: dict[str, Any], engine_rates: list[float]) -> None:
    """A RUN row as metrics and parameters of the active MLflow run; a step for each engine's tokens per second."""
    import mlflow

    figures = ("rows_in", "fan_out", "kept", "rejected", *USAGE_COUNTS, "seconds", "generation_seconds")
    metrics = {name: float(run[name]) for name in figures}
    if run["generation_seconds"]:
        metrics["tokens_per_second"] = run["generated_tokens"] / run["generation_seconds"]
        metrics["idle_tail_share"] = run["idle_tail_share"] or 0.0
    metrics |= {f"rejected.{rule}": float(n) for rule, n in run["rejected_by_rule"].items()}
    mlflow.log_metrics(metrics)
    now = int(time.time() * 1000)
    steps = [mlflow.entities.Metric("engine_tokens_per_second", rate, now, i) for i, rate in enumerate(engine_rates)]
    for first in range(0, len(steps), METRICS_PER_CALL):
        mlflow.MlflowClient().log_batch(run["mlflow_run_id"], metrics=steps[first : first + METRICS_PER_CALL])
    params: dict[str, Any] = {"code_revision": run["code_revision"], "conf_hash": run["conf_hash"]}
    params |= {f"input.{table}": version for table, version in run["inputs"].items()}
    params |= {f"output.{table}": version for table, version in run["outputs"].items()}
    params |= {f"hash.{table}": digest for table, digest in run["hashes"].items()}
    if run["requests"]:
        params |= {f"prompt.{name}": prompts.load(name).sha256 for name in prompts.names()}
    mlflow.log_params(params)


def log_token_usage(by_cause: dict[str, dict[str, int]]) -> None:
    """Where the tokens went, as metrics of the active MLflow run: generated ones `token_usage.CAUSE`, and
    `token_usage.CAUSE.prompt_tokens` and `.cached_tokens`."""
    import mlflow

    metrics = {f"token_usage.{cause}": float(sums["tokens"]) for cause, sums in by_cause.items()}
    for kind in ("prompt_tokens", "cached_tokens"):
        metrics |= {f"token_usage.{cause}.{kind}": float(sums[kind]) for cause, sums in by_cause.items()}
    mlflow.log_metrics(metrics)
