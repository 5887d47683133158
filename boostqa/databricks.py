"""What Databricks wants otherwise than other places: how a task ends, names of experiments, keys from its secrets."""

import os

from pyspark.sql import SparkSession

from boostqa.errors import ConfigError, first_line


def on_databricks() -> bool:
    """Whether this runs on a cluster of Databricks, which sets this variable."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def end(code: int) -> None:
    """End the program with an exit code; on Databricks a good end returns, since any SystemExit is a failed task there."""
    if code or not on_databricks():
        raise SystemExit(code)


def experiment_path(name: str) -> str:
    """The name of an MLflow experiment; on Databricks, which takes paths of its workspace only, in the folder of who runs."""
    if not on_databricks() or name.startswith("/"):
        return name
    who = SparkSession.builder.getOrCreate().sql("SELECT current_user()").first()
    return f"/Users/{who[0]}/{name}" if who and who[0] else f"/Shared/{name}"


def provide_key(spark: SparkSession, name: str, scope: str | None) -> None:
    """On Databricks, give Python workers the key in variable `name`: the driver's own, else the secret of that name in
    `scope`. It is in no plan and no log. Elsewhere, and without either, nothing happens: the engine says what is missing.

    Raises ConfigError where the scope has no such secret, or may not be read.
    """
    if not on_databricks() or not (scope or os.environ.get(name)):
        return
    if not os.environ.get(name):
        from pyspark.dbutils import DBUtils  # type: ignore[import-not-found]  # the platform's

        try:
            os.environ[name] = DBUtils(spark).secrets.get(scope=scope, key=name)
        except Exception as error:  # noqa: BLE001  the platform raises errors of the JVM
            raise ConfigError(
                f"endpoint.key_env: neither the environment nor the secrets of scope {scope!r} (generation.databricks_scope) "
                f"have {name}: {first_line(error)}\n  databricks secrets put-secret {scope} {name}"
            ) from None
    spark.sparkContext.environment[name] = os.environ[name]
