"""What a session on one machine is given where nobody says otherwise."""

from types import SimpleNamespace

import pytest
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
