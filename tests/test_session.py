"""What a session on one machine is given where nobody says otherwise, and what it keeps off the screen."""

import logging
from types import SimpleNamespace

import pytest
from py4j.clientserver import ClientServerConnection
from pyspark import SparkConf

from boostqa.session import set_local_defaults

SHUFFLE, SNAPSHOT = "spark.sql.shuffle.partitions", "spark.databricks.delta.snapshotPartitions"


class Settings(dict):
    """The runtime settings of a session."""

    def set(self, key, value):
        self[key] = value


@pytest.mark.parametrize(
    ("master", "said", "given"),
    [
        ("local[6]", {}, {SHUFFLE: 6, SNAPSHOT: 2}),
        ("local[6]", {SHUFFLE: "9"}, {SNAPSHOT: 2}),
        ("local-cluster[2,3,1024]", {SNAPSHOT: "1"}, {SHUFFLE: 6}),
        ("spark://host:7077", {}, {}),
        ("k8s://https://host", {}, {}),
    ],
)
def test_partitions_follow_the_cores_of_one_machine_where_nobody_says_otherwise(master, said, given):
    conf = SparkConf(loadDefaults=False).setAll(said.items())
    context = SimpleNamespace(master=master, defaultParallelism=6, getConf=lambda: conf)
    session = SimpleNamespace(sparkContext=context, conf=Settings())
    set_local_defaults(session)
    assert session.conf == given


def test_what_py4j_logs_of_a_connection_that_broke_is_not_shown(spark, caplog):
    broken = SimpleNamespace(is_connected=True, stream=None, socket=None)
    ClientServerConnection.shutdown_socket(broken, 1, 2)  # what a Ctrl-C in the midst of a call comes to
    by_the_root = {"msg": "sending", "levelno": logging.ERROR, "pathname": "/site-packages/py4j/java_gateway.py"}
    logging.getLogger().handle(logging.makeLogRecord(by_the_root))
    logging.getLogger("boostqa").error("ours")
    assert [record.getMessage() for record in caplog.records] == ["ours"]
