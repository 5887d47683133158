"""What a stage read, wrote, dropped and paid: kept in the `run` table, in Delta's commit metadata and in MLflow."""

import hashlib
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from boostqa import __version__, prompts
from boostqa.config import Config, Model
from boostqa.errors import ContractError, GateFailed
from boostqa.requests import Speaker
from boostqa.schemas import ENGINE, RUN
from boostqa.tables import Warehouse, Written, is_catalog

EDGE = 65536  # bytes
MLFLOW_BATCH = 1000  # metrics a call takes at most
FIGURES = (
    "requests", "reused", "failed", "prompt_tokens", "cached_tokens", "generated_tokens", "thinking_tokens",
    "retry_tokens", "engine_starts", "conflicts",
)  # fmt: skip


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


@cache
def fingerprint(folder: Path) -> str:
    """What a local model folder holds, `local:` and 16 hex digits: new weights under an old path are a new model.

    Names, sizes and the first and last 64 KiB of each file; reading all weights would take minutes.
    """
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder)}\0{size}\0".encode())
        with open(file, "rb") as content:
            digest.update(content.read(EDGE))
            content.seek(max(0, size - EDGE))
            digest.update(content.read(EDGE))
    return f"local:{digest.hexdigest()[:16]}"


def folder_of(model: Model) -> Path | None:
    """The folder of a local model, absolute; None for an id of a hub or of an endpoint."""
    folder = Path(model.id).expanduser()
    return folder.resolve() if folder.is_dir() and not model.endpoint else None


@dataclass
class StageRun:
    """One execution of one stage: the reader and writer a job uses, and the account it owes at the end."""

    spark: SparkSession
    config: Config
    name: str
    run_id: str
    warehouse: Warehouse
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, Written] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIGURES, 0))
    engine_seconds: float = 0.0
    idle_engine_seconds: float = 0.0  # of all engines, of `engines_seconds`
    engines_seconds: float = 0.0
    calls: int = 0
    engines: list[dict[str, Any]] = field(default_factory=list)  # rows of the table `engine`
    rejected: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def read(self, name: str, required: bool = True, version: int | None = None) -> DataFrame:
        """A table at `version` (default: the latest), which is recorded as input.

        Raises ContractError when the table is missing, breaks its contract, or is empty though `required`.
        """
        if name not in self.inputs and self.warehouse.exists(name):
            self.inputs[name] = self.warehouse.version(name) if version is None else version
        df = self.warehouse.read(name, self.inputs.get(name))
        if required and df.isEmpty():
            raise ContractError(
                f"stage {self.name}: table {name} is empty, so there is nothing to do\n"
                f"  see why its rows were rejected: boostqa status --config ..., or the reject table in {self.warehouse.location}"
            )
        return df

    def write(self, name: str, df: DataFrame, where: str | None = None) -> int:
        """Replace a table (or its rows matching `where`) and return the rows written."""
        metadata = {
            "run_id": self.run_id,
            "stage": self.name,
            "code": code_revision(),
            "conf": self.config.identity_hash,
            "inputs": self.inputs,
        }
        written = self.outputs[name] = self.warehouse.write(name, df, where, metadata)
        return self.warehouse.read(name, written.version).where(where).count() if where else written.rows

    def reject(self, df: DataFrame) -> int:
        """Replace this stage's rows of the reject table."""
        where = f"stage = '{self.name}'"
        rows = self.write("reject", df.withColumn("run_id", F.lit(self.run_id)), where)
        by_rule = self.warehouse.read("reject").where(where).groupBy("rule").count().collect()
        self.rejected = {r["rule"]: r["count"] for r in sorted(by_rule)}
        return rows

    def speaker(self, role: str) -> Speaker:
        """The model that plays `role` (generator | annotator | refiner), with its engine settings."""
        return self.speaker_of(self.config.role(role))

    def speaker_of(self, model: Model) -> Speaker:
        """A model with its engine settings; a local folder gets its content as revision."""
        folder = folder_of(model)
        found = model.model_copy(update={"revision": fingerprint(folder)}) if folder else model
        return Speaker(found, self.config.engine_for(model))

    def tokenizer(self) -> str:
        """The target model's tokenizer as the JSON of a `tokenizer.json`, from a file, a model folder or Hugging Face."""
        path = Path(self.config.tokenizer).expanduser()
        file = path / "tokenizer.json" if path.is_dir() else path
        if file.exists():
            return file.read_text(encoding="utf-8")
        from tokenizers import Tokenizer

        return str(Tokenizer.from_pretrained(self.config.tokenizer).to_str())

    @property
    def idle_tail_share(self) -> float | None:
        """Share of the engines' time in which they had less to do than they could, because the end was near."""
        return self.idle_engine_seconds / self.engines_seconds if self.engines_seconds else None

    def account(self, rows_in: int, kept: int, rejected: int = 0, fan_out: int = 0) -> None:
        """State the stage's account; raises ContractError when rows in + fan-out are not kept + rejected."""
        self.rows = {"rows_in": rows_in, "fan_out": fan_out, "kept": kept, "rejected": rejected}
        if rows_in + fan_out != kept + rejected:
            raise ContractError(
                f"stage {self.name} lost or made rows: {rows_in} in + {fan_out} fan-out != {kept} kept + {rejected} rejected; "
                "this is a bug in the stage: its tables are written, the line stops here"
            )


def _log(stage: StageRun, row: dict[str, Any]) -> None:
    """A stage's figures as metrics and its lineage as parameters of the active MLflow run; a step for each engine's rate."""
    import mlflow

    metrics = {**stage.rows, **stage.figures, "seconds": row["seconds"], "engine_seconds": stage.engine_seconds}
    if stage.engine_seconds:
        metrics["tokens_per_second"] = stage.figures["generated_tokens"] / stage.engine_seconds
        metrics["idle_tail_share"] = stage.idle_tail_share or 0.0
    metrics |= {f"rejected.{rule}": n for rule, n in stage.rejected.items()}
    mlflow.log_metrics({name: float(value) for name, value in metrics.items()})
    now = int(time.time() * 1000)
    rates = [e["tokens_per_second"] for e in stage.engines]
    steps = [mlflow.entities.Metric("engine_tokens_per_second", rate, now, i) for i, rate in enumerate(rates)]
    for first in range(0, len(steps), MLFLOW_BATCH):
        mlflow.MlflowClient().log_batch(row["mlflow_run_id"], metrics=steps[first : first + MLFLOW_BATCH])
    params: dict[str, Any] = {"code_revision": row["code_revision"], "conf_hash": row["conf_hash"]}
    params |= {f"input.{table}": version for table, version in stage.inputs.items()}
    params |= {f"output.{table}": written.version for table, written in stage.outputs.items()}
    params |= {f"hash.{table}": written.hash for table, written in stage.outputs.items()}
    if stage.figures["requests"]:
        params |= {f"prompt.{name}": prompts.load(name).sha256 for name in prompts.names()}
    mlflow.log_params(params)


@contextmanager
def stage_run(spark: SparkSession, config: Config, name: str, run_id: str) -> Iterator[StageRun]:
    """Run one stage inside an MLflow child run; at the end write its row of the `run` table."""
    import mlflow

    warehouse = Warehouse(spark, config.warehouse, config.generation.ledger)
    stage = StageRun(spark, config, name, run_id, warehouse)
    began = time.monotonic()
    failed = None
    with mlflow.start_run(run_name=name, nested=True) as child:
        try:
            yield stage
        except GateFailed as error:  # a verdict is a result: it is recorded like any other
            failed = error
        finally:
            if stage.engines:  # paid for, also by a stage that failed afterwards
                warehouse.append("engine", spark.createDataFrame(stage.engines, ENGINE.schema))
        if failed and not stage.rows:
            raise failed
        if not stage.rows:
            raise ContractError(f"stage {name} stated no account of its rows; this is a bug in jobs/")
        row = {
            "run_id": run_id,
            "stage": name,
            "finished_at": datetime.now(UTC),
            "seconds": time.monotonic() - began,
            **stage.rows,
            "rejected_by_rule": stage.rejected,
            **stage.figures,
            "engine_seconds": stage.engine_seconds,
            "idle_tail_share": stage.idle_tail_share,
            "inputs": stage.inputs,
            "outputs": {t: w.version for t, w in stage.outputs.items()},
            "hashes": {t: w.hash for t, w in stage.outputs.items()},
            "code_revision": code_revision(),
            "conf_hash": config.identity_hash,
            "mlflow_run_id": child.info.run_id,
        }
        warehouse.append("run", spark.createDataFrame([row], RUN.schema))
        _log(stage, row)
        if failed:
            raise failed


@contextmanager
def line_run(config: Config, run_id: str) -> Iterator[str]:
    """The MLflow parent run of a line; yields where it can be seen."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    import mlflow

    local = "://" not in config.warehouse and not is_catalog(config.warehouse)
    folder = Path(config.warehouse if local else ".").resolve()
    uri = config.mlflow.tracking_uri
    if uri is None and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        folder.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{folder}/mlflow.db"
    if uri:
        mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(config.mlflow.experiment) is None:
        sqlite = (uri or "").startswith("sqlite:")
        artifacts = (folder / "mlruns").as_uri() if sqlite else None
        mlflow.create_experiment(config.mlflow.experiment, artifact_location=artifacts)
    mlflow.set_experiment(config.mlflow.experiment)
    with mlflow.start_run(run_name=run_id, tags={"run_id": run_id}) as parent:
        mlflow.log_params(
            {"code_revision": code_revision(), "conf_hash": config.identity_hash, "warehouse": config.warehouse}
        )
        mlflow.log_dict(config.model_dump(mode="json"), "conf.yaml")
        yield f"mlflow ui --backend-store-uri {uri}   (run {parent.info.run_id})" if uri else parent.info.run_id
