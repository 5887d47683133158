"""What a session on one machine is given where nobody says otherwise, and what it keeps off the screen."""

import logging
import os
import re
import sys
from types import SimpleNamespace

import pytest
from py4j.clientserver import ClientServerConnection
from pyspark import SparkConf, SparkContext
from pyspark.sql import functions as F

from boostqa import session
from boostqa.errors import ConfigError
from boostqa.session import set_local_defaults

SHUFFLE, SNAPSHOT = "spark.sql.shuffle.partitions", "spark.databricks.delta.snapshotPartitions"


class Settings(dict):
    """The runtime settings of a session."""

    def set(self, key, value):
        self[key] = value


def test_workers_of_a_session_on_one_machine_start_with_the_udfs_loaded(spark):
    loaded = F.udf(lambda _: {"udfs.minhash", "udfs.answers.equality", "pandas"} <= set(sys.modules), "boolean")
    assert spark.range(2).select(loaded("id").alias("loaded")).distinct().collect() == [(True,)]


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
    made = SimpleNamespace(sparkContext=context, conf=Settings())
    set_local_defaults(made)
    assert made.conf == given


def test_what_py4j_logs_of_a_connection_that_broke_is_not_shown(spark, caplog):
    broken = SimpleNamespace(is_connected=True, stream=None, socket=None)
    ClientServerConnection.shutdown_socket(broken, 1, 2)  # what a Ctrl-C in the midst of a call comes to
    by_the_root = {"msg": "sending", "levelno": logging.ERROR, "pathname": "/site-packages/py4j/java_gateway.py"}
    logging.getLogger().handle(logging.makeLogRecord(by_the_root))
    logging.getLogger("boostqa").error("ours")
    assert [record.getMessage() for record in caplog.records] == ["ours"]


def test_master_of_who_submits_or_has_a_session_stands_and_no_one_elses(monkeypatch):
    conf = {"spark.master": "local[9]", "spark.x": "y"}
    monkeypatch.setattr(SparkContext, "_active_spark_context", None)
    monkeypatch.setenv("SPARK_ENV_LOADED", "1")  # of a shell script that started something else
    assert session._properties_of("local[2]", conf)["spark.master"] == "local[2]"
    assert session._properties_of(None, conf)["spark.master"] == "local[9]"
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "12345")
    monkeypatch.delenv("SPARK_ENV_LOADED")
    assert session._properties_of("local[2]", conf) == {"spark.x": "y"}
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT")
    monkeypatch.setattr(SparkContext, "_active_spark_context", object())
    assert session._properties_of("local[2]", conf) == {"spark.x": "y"}


def test_jvm_that_starts_here_reads_file_names_as_utf_8(monkeypatch):
    monkeypatch.setenv("LC_ALL", "POSIX")
    session._own_jvm({}, "local[1]")
    assert os.environ["LC_ALL"] == "C.UTF-8"


def test_jvm_that_does_not_see_every_file_name_is_refused():
    session.check_file_names("UTF-8")
    with pytest.raises(ConfigError, match=r"reads file names as ANSI_X3\.4-1968 .*set LC_ALL=C\.UTF-8"):
        session.check_file_names("ANSI_X3.4-1968")


def test_user_without_a_name_is_told_so_before_the_jvm_starts(monkeypatch):
    def nameless(uid):
        raise KeyError(uid)

    monkeypatch.setattr(session.pwd, "getpwuid", nameless)
    with pytest.raises(ConfigError, match=rf"user {os.getuid()} has no entry in /etc/passwd"):
        session._own_jvm({}, "local[1]")


def jars(monkeypatch, tmp_path, folder):
    """The properties of a session whose cache, in `folder`, holds a JAR."""
    file = tmp_path / folder / "ivy" / "delta-1" / "jars" / "delta.jar"
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.setattr(session, "CACHE", tmp_path / folder)
    return file, session._delta_jars({"spark.jars.packages": "io:delta:1"})


@pytest.mark.parametrize("name", ["re[1]po", "{repo}", "a,b"])
def test_jars_in_a_folder_in_which_spark_finds_none_are_not_blamed_on_java(monkeypatch, tmp_path, name):
    with pytest.raises(ConfigError, match=rf"JARs from {tmp_path}/{re.escape(name)}/.*; set BOOSTQA_CACHE"):
        jars(monkeypatch, tmp_path, name)


def test_jars_are_found_below_a_fragment_or_an_escape_and_spark_needs_no_home(monkeypatch, tmp_path):
    file, properties = jars(monkeypatch, tmp_path, "a b#c%20")
    assert properties["spark.jars"] == file.as_uri()
    assert properties["spark.jars.ivy"] == str(file.parents[1])
