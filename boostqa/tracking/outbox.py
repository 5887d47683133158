"""What MLflow is told: each of its runs as one record, which can be sent whole and again. Nothing that fails on the way ends
a run: what could not be sent is kept on disk, and sent at the end of the run or by `boostqa status --sync`.

It does not know what a stage is. Metrics and parameters that were sent twice are the same to MLflow as those sent once.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from boostqa.config import Config, redacted
from boostqa.config.location import location
from boostqa.console import CONSOLE
from boostqa.databricks import experiment_path, on_databricks
from boostqa.errors import ConfigError, first_line

ANSWER_SECONDS = 15.0  # for the sending of a record
PATIENT_SECONDS = 120.0  # where nobody waits for it, and for SQLite, whose tables are made at first
LOCK_SECONDS = 10.0  # that SQLite is waited for
REFUSAL_SECONDS = 1.0  # within which a server that is there refuses what it does not take
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100  # that MLflow takes at most
UNSENT = "_mlflow_unsent"
_KEY = "boostqa.record"  # the tag by which a run that was made is found again


@dataclass
class Record:
    """All that MLflow is told of one of its runs; times in milliseconds since the epoch."""

    key: str  # unique among all runs, fit for a file name
    name: str
    started: int
    parent: str | None = None  # MLflow's id of the run around it
    mlflow_run_id: str | None = None
    status: str = "RUNNING"
    ended: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)  # name, value, time, step
    conf: dict[str, Any] | None = None  # shown as an artifact
    figures: dict[str, str] = field(
        default_factory=dict
    )  # file name -> text (SVG, HTML, Markdown, JSON), artifacts as well
    inputs: list[tuple[str, str, int]] = field(
        default_factory=list
    )  # table, where it lies, Delta version that was read


def _within(seconds: float, action: Callable[[], object]) -> None:
    """Do `action`; TimeoutError where it takes longer, and it goes on in a thread that holds nothing up."""
    done: Future[None] = Future()

    def act() -> None:
        try:
            action()
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001  raised by result()
            done.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    try:
        done.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def _dataset(table: str, place: str, version: int) -> Any:
    """A Delta table as MLflow's data sets name it (mlflow.data.delta_dataset_source, which leaves out a version of 0)."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name = "delta_table_name" if location(place).names else "path"
    source = json.dumps({name: place, "delta_table_version": version})
    return DatasetInput(
        Dataset(table, f"version {version}", "delta_table", source), [InputTag("mlflow.data.context", "read")]
    )


class Outbox:
    """The way to the tracking server of a conf: the one it names, the platform's, or SQLite beside the warehouse."""

    def __init__(self, config: Config) -> None:
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")  # MLflow's own add up to minutes of silence
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        place = location(config.warehouse)
        folder = Path(place.path) if place.is_folder else Path.cwd()
        own = None if on_databricks() else f"sqlite:///{folder}/mlflow.db"
        self.uri = config.mlflow.tracking_uri or own
        self.experiment = experiment_path(config.mlflow.experiment)
        self.unsent = folder / UNSENT
        self._file = (self.uri or "").removeprefix("sqlite:///") if (self.uri or "").startswith("sqlite:") else None
        self._artifacts = None if self._file is None else (folder / "mlruns").as_uri()
        self._seconds = ANSWER_SECONDS if self._file is None else PATIENT_SECONDS
        self._down = False
        folder.mkdir(parents=True, exist_ok=True)

    def check_server(self) -> None:
        """Raises ConfigError when a server that is asked over HTTP does not answer: known before Spark starts."""
        if (self.uri or "").startswith("http"):
            from mlflow import MlflowClient

            self._must(lambda: MlflowClient(self.uri).get_experiment_by_name(self.experiment))

    def open(self, record: Record) -> None:
        """Make the first run of all; raises ConfigError where that fails, before anything is paid for."""
        self._must(lambda: self._make(record))

    def _must(self, action: Callable[[], object]) -> None:
        import mlflow  # noqa: F401  takes seconds, which are not the server's

        try:
            _within(self._seconds, action)
        except Exception as error:
            raise ConfigError(
                f"mlflow.tracking_uri: {redacted(self.uri)} cannot be used: {self._said(error)}\n"
                "  start the server or end what locks the file, or leave mlflow.tracking_uri out for SQLite beside the warehouse"
            ) from error

    def send(self, record: Record) -> None:
        """Tell MLflow, or keep the record on disk; once that was so, all further ones are kept until `send_unsent`."""
        if not self._down and (why := self._failure(record, self._seconds)):
            self._down = True
            self._warn(
                f"{why}; the run goes on, what MLflow would be told is kept in {self.unsent} and sent at the end, or by "
                "`boostqa status --sync`"
            )
        if self._down:
            self._keep(record)

    def send_unsent(self, seconds: float | None = None) -> None:
        """Send what is kept, of earlier runs, too, each record within `seconds`, and say what became of it; says nothing
        where nothing is kept."""
        kept = sorted(self.unsent.glob("*.json"))
        sent, why = 0, None
        for file in kept:
            began = time.monotonic()
            failure = self._failure(file, seconds or self._seconds)
            if failure is None:
                file.unlink(missing_ok=True)
                sent += 1
            elif time.monotonic() - began > REFUSAL_SECONDS:  # nobody is there, and the others would wait as long
                why = failure
                break
            else:
                why = f"{file.name}: {failure}"
        self._down = bool(why)
        if sent:
            CONSOLE.print(f"MLflow: {sent} run(s) that were kept are sent", highlight=False)
        if why:
            self._warn(
                f"{why}; {len(kept) - sent} run(s) are still kept in {self.unsent}: `boostqa status --sync` sends them"
            )

    def _keep(self, record: Record) -> None:
        try:
            self.unsent.mkdir(parents=True, exist_ok=True)
            new = self.unsent / f"{record.key}.new"
            new.write_text(json.dumps(asdict(record)), encoding="utf-8")
            new.replace(self.unsent / f"{record.key}.json")
        except OSError as error:
            self._warn(f"what it would be told of {record.name} could not be kept: {error}")

    def _warn(self, text: str) -> None:
        CONSOLE.print(f"MLflow: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def _failure(self, kept: Record | Path, seconds: float) -> str | None:
        """Send a record, or the one in a file; why that failed, None where it did not."""
        try:
            import mlflow  # noqa: F401

            record = kept if isinstance(kept, Record) else Record(**json.loads(kept.read_text(encoding="utf-8")))
            _within(seconds, lambda: self._deliver(record))
        except Exception as error:  # noqa: BLE001  whatever it is, it is beside the line
            return self._said(error)
        return None

    def _said(self, error: Exception) -> str:
        return str(redacted(first_line(error) or type(error).__name__))

    def _make(self, record: Record) -> None:
        """Make the record's run, unless it was made."""
        from mlflow import MlflowClient
        from mlflow.tracking.context.registry import resolve_tags

        if self._file and Path(self._file).exists():  # MLflow asks a locked file for two minutes
            with closing(sqlite3.connect(self._file, timeout=LOCK_SECONDS)) as file:
                file.execute("BEGIN IMMEDIATE")
        if record.mlflow_run_id:
            return
        client = MlflowClient(self.uri)
        found = client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else client.create_experiment(self.experiment, self._artifacts)
        if made := client.search_runs([experiment], f"tags.`{_KEY}` = '{record.key}'", max_results=1):
            record.mlflow_run_id = made[0].info.run_id
            return
        about = {_KEY: record.key, **record.tags} | ({"mlflow.parentRunId": record.parent} if record.parent else {})
        run = client.create_run(experiment, record.started, resolve_tags(about), record.name)
        record.mlflow_run_id = run.info.run_id

    def _deliver(self, record: Record) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag

        self._make(record)
        client, run_id = MlflowClient(self.uri), record.mlflow_run_id
        assert run_id is not None
        if record.tags:  # an error is one
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in record.tags.items()])
        params = [Param(key, str(value)) for key, value in record.params.items()]
        for first in range(0, len(params), PARAMS_PER_CALL):
            client.log_batch(run_id, params=params[first : first + PARAMS_PER_CALL])
        metrics = [Metric(*of) for of in record.metrics]
        for first in range(0, len(metrics), METRICS_PER_CALL):
            client.log_batch(run_id, metrics=metrics[first : first + METRICS_PER_CALL])
        if record.conf is not None:
            client.log_dict(run_id, record.conf, "conf.yaml")
        for file, text in record.figures.items():
            client.log_text(run_id, text, file)
        if record.inputs:
            client.log_inputs(run_id, [_dataset(*read) for read in record.inputs])
        if record.ended is not None:
            client.set_terminated(run_id, record.status, record.ended)
