"""MLflow beside the line: what cannot be sent is kept and sent later; silence at the start is said soon."""

import json
import socket
import sqlite3
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from boostqa import cli, config, pipeline
from boostqa.errors import ConfigError
from boostqa.rounds import Step
from boostqa.tracking import outbox
from boostqa.tracking.mlflow_runs import (
    log_texts,
    log_token_usage,
    pipeline_mlflow_run,
    stage_mlflow_run,
)
from boostqa.tracking.outbox import Outbox, Record
from boostqa.tracking.stage_run import stage_run
from tests.processes import DEMO

USAGE = {"kept": {"tokens": 7, "prompt_tokens": 1, "cached_tokens": 0}}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(outbox, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(outbox, "ANSWER_SECONDS", 1.0)


@pytest.fixture
def warehouse(tmp_path):
    return tmp_path / "w"


@pytest.fixture
def conf(warehouse):
    return config.load(DEMO, [f"warehouse={warehouse}"])


@contextmanager
def locked(warehouse):
    other = sqlite3.connect(warehouse / "mlflow.db")
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.close()


def told(conf):
    """{name: (status, metrics, name of the parent)} of all runs that MLflow knows."""
    from mlflow import MlflowClient

    client = MlflowClient(Outbox(conf).uri)
    runs = client.search_runs([client.get_experiment_by_name("boostqa").experiment_id])
    names = {run.info.run_id: run.info.run_name for run in runs}
    return {
        run.info.run_name: (run.info.status, run.data.metrics, names.get(run.data.tags.get("mlflow.parentRunId")))
        for run in runs
    }


def test_store_that_is_locked_for_a_while_gets_all_at_the_end_of_the_run(conf, warehouse, capsys):
    with pipeline_mlflow_run(conf, "r1", "code", "hash"):
        with locked(warehouse):
            for stage in ("seed", "annotate"):
                with stage_mlflow_run(stage) as run:
                    log_token_usage(USAGE)
                assert run.mlflow_run_id is None
        assert len(list((warehouse / outbox.UNSENT).iterdir())) == 2
    runs = told(conf)
    assert runs.keys() == {"r1", "seed", "annotate"}
    assert runs["annotate"][::2] == ("FINISHED", "r1") and runs["annotate"][1]["token_usage.kept"] == 7
    assert runs["r1"][0] == "FINISHED" and not list((warehouse / outbox.UNSENT).iterdir())
    shown = capsys.readouterr().err
    assert shown.count("the run goes on") == 1 and "database is locked" in shown and "3 run(s) that were kept" in shown


def test_figures_are_artifacts_also_of_a_run_that_was_kept(conf, warehouse):
    from mlflow import MlflowClient

    with pipeline_mlflow_run(conf, "r1", "code", "hash"), locked(warehouse), stage_mlflow_run("probe"):
        log_texts({"probe/trend.svg": "<svg/>"})
    client = MlflowClient(Outbox(conf).uri)
    [run] = client.search_runs(
        [client.get_experiment_by_name("boostqa").experiment_id], "attributes.run_name = 'probe'"
    )
    assert [f.path for f in client.list_artifacts(run.info.run_id, "probe")] == ["probe/trend.svg"]


def test_a_stage_that_failed_keeps_what_it_had_what_it_read_and_why(conf, warehouse):
    from mlflow import MlflowClient

    with pytest.raises(ValueError, match="no engine"), pipeline_mlflow_run(conf, "r1", "code", "hash"):
        step = Step("main", "synthesize")
        with stage_run(None, conf, step, "r1", basis={}, conf_hash="hash") as stage:  # nothing here asks Spark
            stage.inputs |= {"plan": 0, "seed": 3}
            stage.usage.counts |= {"requests": 9, "generated_tokens": 70}
            raise ValueError("no engine at http://me:secret@host\nmore")
    client = MlflowClient(Outbox(conf).uri)
    runs = client.search_runs([client.get_experiment_by_name("boostqa").experiment_id])
    [stage], [whole] = ([r for r in runs if r.info.run_name == name] for name in ("synthesize", "r1"))
    assert stage.data.tags["error"] == whole.data.tags["error"] == "ValueError: no engine at http://***@host"
    assert (
        stage.info.status == "FAILED"
        and stage.data.metrics["generated_tokens"] == 70
        and "kept" not in stage.data.metrics
    )
    read = {i.dataset.name: (i.dataset.source_type, json.loads(i.dataset.source)) for i in stage.inputs.dataset_inputs}
    assert read == {
        "plan": ("delta_table", {"path": f"{warehouse}/plan", "delta_table_version": 0}),
        "seed": ("delta_table", {"path": f"{warehouse}/seed", "delta_table_version": 3}),
    }
    [of_catalog] = outbox._dataset("seed", "main.qa.seed", 3).dataset.source.splitlines()
    assert json.loads(of_catalog) == {"delta_table_name": "main.qa.seed", "delta_table_version": 3}
    said = stage.data.params
    assert said["input.seed"] == "3"
    assert said["synthesize.sampling.temperature"] == "0.7" and "plan.tokens" not in said
    assert said["model.generator.id"] == conf.role("generator").id and said["model.generator.revision"].startswith(
        "local:"
    )
    assert whole.data.params["plan.tokens"] == str(conf.plan.tokens) and "gate.min_rows" in whole.data.params
    assert not [name for name in whole.data.params if name.startswith(("spark.", "mlflow.", "output"))]


def test_system_metrics_are_measured_where_the_conf_asks(conf, monkeypatch):
    from mlflow.system_metrics import system_metrics_monitor

    told = []
    monitor = SimpleNamespace(start=lambda: told.append("start"), finish=lambda: told.append("finish"))
    monkeypatch.setattr(system_metrics_monitor, "SystemMetricsMonitor", lambda *_, **__: monitor)
    with pipeline_mlflow_run(conf, "r1", "code", "hash"):
        pass
    assert told == []
    measured = config.Mlflow(system_metrics=True)
    with pipeline_mlflow_run(conf.model_copy(update={"mlflow": measured}), "r2", "code", "hash"):
        pass
    assert told == ["start", "finish"]


def test_what_is_kept_beyond_the_run_is_sent_by_status_sync(conf, warehouse, monkeypatch, capsys):
    run = pipeline_mlflow_run(conf, "r1", "code", "hash")
    run.__enter__()
    with locked(warehouse):
        with pytest.raises(ValueError, match="why it failed"), stage_mlflow_run("seed"):
            raise ValueError("why it failed")
        run.__exit__(None, None, None)
    assert "2 run(s) are still kept" in capsys.readouterr().err
    (warehouse / outbox.UNSENT / "cut.json").write_text("{")

    def no_spark(_):
        raise ConfigError("no Spark here")

    monkeypatch.setattr(pipeline, "warehouse", no_spark)
    args = ["status", "--config", DEMO, "--set", f"warehouse={warehouse}", "--sync"]
    for _ in range(2):
        assert CliRunner().invoke(cli.app, args).exit_code == 2
    assert {name: status for name, (status, *_) in told(conf).items()} == {"r1": "FINISHED", "seed": "FAILED"}
    assert [file.name for file in (warehouse / outbox.UNSENT).iterdir()] == ["cut.json"]


def test_store_that_is_locked_at_the_start_is_an_error_at_once(conf, warehouse):
    with pipeline_mlflow_run(conf, "r1", "code", "hash"):
        pass
    began = time.monotonic()
    with (
        locked(warehouse),
        pytest.raises(ConfigError, match=r"mlflow.tracking_uri: sqlite.*database is locked"),
        pipeline_mlflow_run(conf, "r2", "code", "hash"),
    ):
        pass
    assert time.monotonic() - began < 5


@pytest.fixture
def silent(conf):
    """The conf with a tracking server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://me:secret@127.0.0.1:{server.getsockname()[1]}"
        yield conf.model_copy(update={"mlflow": config.Mlflow(tracking_uri=uri)})


def test_server_that_never_answers_is_an_error_at_the_start(silent, monkeypatch):
    monkeypatch.setattr(pipeline, "preflight", lambda config: None)
    monkeypatch.delattr(pipeline, "spark_session")
    began = time.monotonic()
    with (
        pytest.raises(ConfigError, match=r"mlflow.tracking_uri: http://\*\*\*@127.* no answer within 1 s\n"),
        pipeline_mlflow_run(silent, "r1", "code", "hash"),
    ):
        pass
    with pytest.raises(ConfigError, match="no answer"):  # before Spark starts
        pipeline.run(silent, ["seed"])
    assert time.monotonic() - began < 5


def test_server_that_falls_silent_is_waited_for_once(silent, warehouse, capsys):
    box, began = Outbox(silent), time.monotonic()
    for key in ("r1-seed", "r1-annotate", "r1-probe"):
        box.send(Record(key, key, 0, ended=1))
    assert time.monotonic() - began < 3
    assert len(list((warehouse / outbox.UNSENT).iterdir())) == 3
    shown = capsys.readouterr().err
    assert shown.count("no answer within 1 s") == 1 and "secret" not in shown
