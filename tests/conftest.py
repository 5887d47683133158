"""The one Spark session of the tests: lazy, session scope, small, UTC, warehouse in a temporary folder."""

import os
import sys

import pytest

os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    from boostqa.session import spark_session

    session = spark_session(
        "tests",
        master="local[2]",
        conf={
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.databricks.delta.snapshotPartitions": "1",
            "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
            "spark.driver.memory": "1g",
        },
    )
    yield session
    session.stop()
