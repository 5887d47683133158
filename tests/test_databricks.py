"""Databricks: how tasks end, names of experiments, keys; on a stub that refuses what the platform refuses."""

import builtins
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest
from pyspark.sql import SparkSession

from boostqa import cli, databricks
from boostqa.errors import ConfigError
from boostqa.tracking import outbox
from tests.processes import HANG, few_lines


@pytest.fixture
def platform(monkeypatch, tmp_path):
    """A cluster of Databricks, as far as code can tell; the folder of its Volume."""
    volume = tmp_path / "Volumes" / "main" / "boostqa" / "files"
    volume.mkdir(parents=True)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)  # the driver's own disk
    _refuse_settings(monkeypatch)
    _refuse_names_that_are_no_path(monkeypatch)
    _refuse_what_a_volume_cannot(monkeypatch, volume)
    return volume


def _refuse_settings(monkeypatch):
    """The session is there before the code: what is set at the start of a JVM comes too late."""
    own = SparkSession.Builder.config

    def config(self, key=None, value=None, **more):
        if key and (key in ("spark.master", "spark.plugins") or key.startswith(("spark.jars", "spark.driver"))):
            raise AssertionError(f"CANNOT_MODIFY_CONFIG: {key}")
        return own(self, key, value, **more)

    monkeypatch.setattr(SparkSession.Builder, "config", config)


def _refuse_names_that_are_no_path(monkeypatch):
    from mlflow import MlflowClient

    own = MlflowClient.create_experiment

    def create(self, name, *words, **more):
        if not name.startswith("/"):
            raise ValueError(f"Got an invalid experiment name '{name}': must be an absolute path of the workspace")
        return own(self, name, *words, **more)

    monkeypatch.setattr(MlflowClient, "create_experiment", create)


def _refuse_what_a_volume_cannot(monkeypatch, volume):
    """Files of a Volume are written from the beginning to the end, once: nothing is added to them or changed inside."""
    own = builtins.open

    def opened(file, mode="r", *words, **more):
        if str(file).startswith(str(volume)) and set(mode) & set("a+"):
            raise OSError(95, "Operation not supported", str(file))
        return own(file, mode, *words, **more)

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr("io.open", opened)


def test_a_good_end_returns_and_a_bad_one_is_a_failed_task(platform, monkeypatch):
    assert databricks.end(0) is None
    with pytest.raises(SystemExit) as ended:
        databricks.end(4)
    assert ended.value.code == 4
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION")
    with pytest.raises(SystemExit) as ended:
        databricks.end(0)
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("words", "code"), [(["--version"], None), (["plan", "--help"], None), (["run"], 2), (["no"], 2)]
)
def test_commands_end_as_the_platform_wants(platform, monkeypatch, capsys, words, code):
    monkeypatch.setattr(sys, "argv", ["/databricks/python/bin/whatever.py", *words])
    try:
        assert cli.main() is None and code is None
    except SystemExit as ended:
        assert ended.code == code


def test_experiments_are_paths_of_the_workspace(spark, platform, monkeypatch):
    who = spark.sql("select current_user()").first()[0]
    assert databricks.experiment_path("boostqa") == f"/Users/{who}/boostqa"
    assert databricks.experiment_path("/Shared/mine") == "/Shared/mine"
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION")
    assert databricks.experiment_path("boostqa") == "boostqa"


@pytest.fixture
def secrets(monkeypatch):
    """dbutils with one secret."""

    def get(scope, key):
        if (scope, key) != ("boostqa", "TEACHER_KEY"):
            raise ValueError(f"Secret does not exist with scope: {scope} and key: {key}\nat com.databricks...")
        return "sk-of-the-teacher"

    stub = ModuleType("pyspark.dbutils")
    stub.DBUtils = lambda spark: SimpleNamespace(secrets=SimpleNamespace(get=get))
    monkeypatch.setitem(sys.modules, "pyspark.dbutils", stub)
    for name in ("TEACHER_KEY", "OTHER_KEY"):
        monkeypatch.setenv(name, "")  # undone at the end, whatever the code sets


def key_in_a_worker(spark, name):
    """What a Python worker of a task finds in its environment."""

    def read(batches):
        for batch in batches:
            yield batch.assign(found=os.environ.get(name, ""))

    return spark.range(1).mapInPandas(read, "id long, found string").first()["found"]


def test_a_key_from_the_secrets_reaches_python_workers(spark, platform, secrets):
    try:
        databricks.provide_key(spark, "TEACHER_KEY", "boostqa")
        assert key_in_a_worker(spark, "TEACHER_KEY") == "sk-of-the-teacher"
    finally:
        spark.sparkContext.environment.pop("TEACHER_KEY", None)


def test_a_key_of_the_driver_wins_over_secrets_and_without_a_scope_none_is_asked(spark, platform, secrets, monkeypatch):
    databricks.provide_key(spark, "TEACHER_KEY", None)
    assert "TEACHER_KEY" not in spark.sparkContext.environment
    monkeypatch.setenv("TEACHER_KEY", "sk-of-the-notebook")
    try:
        databricks.provide_key(spark, "TEACHER_KEY", "boostqa")
        assert spark.sparkContext.environment["TEACHER_KEY"] == "sk-of-the-notebook"
    finally:
        spark.sparkContext.environment.pop("TEACHER_KEY", None)


def test_a_secret_that_is_not_there_is_one_message(spark, platform, secrets):
    with pytest.raises(ConfigError, match=r"generation\.databricks_scope.*OTHER_KEY: Secret does not exist") as error:
        databricks.provide_key(spark, "OTHER_KEY", "boostqa")
    assert "put-secret boostqa OTHER_KEY" in str(error.value) and "com.databricks" not in str(error.value)


@pytest.mark.line
def test_a_task_runs_its_stage_with_conf_and_output_on_a_volume(spark, platform, monkeypatch):
    few_lines(platform)
    tables = platform.parents[3] / "tables"  # a catalog there, a folder here
    words = ["run", "--config", f"{platform}/few.yaml", "--from", "seed", "--to", "seed"]
    words += ["--set", f"warehouse={tables}", "--set", f"generation.staging={platform}/staging"]
    monkeypatch.setattr(sys, "argv", ["whatever.py", *words])
    monkeypatch.setattr(outbox, "ANSWER_SECONDS", HANG)  # SQLite, which makes its tables first, stands for the server
    assert cli.main() is None  # no SystemExit
    from mlflow import MlflowClient

    who = spark.sql("select current_user()").first()[0]
    assert MlflowClient().get_experiment_by_name(f"/Users/{who}/boostqa")
    assert spark.read.format("delta").load(f"{tables}/seed").count() > 0
