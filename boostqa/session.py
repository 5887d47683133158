"""The Spark session of a line: Delta on the classpath, UTC, workers on the running interpreter."""

import logging
import os
import pwd
import signal
import sys
import threading
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession

from boostqa import CACHE, ROOT
from boostqa.databricks import on_databricks
from boostqa.errors import ConfigError
from udfs.files import pattern_of

_SHUFFLE_PARTITIONS, _SNAPSHOT_PARTITIONS = "spark.sql.shuffle.partitions", "spark.databricks.delta.snapshotPartitions"


def _properties(file: Path) -> dict[str, str]:
    lines = (line.split(None, 1) for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return {key: value.strip() for key, value in lines}


def _delta_jars(properties: dict[str, str]) -> dict[str, str]:
    """Let Spark resolve Delta's JARs once into a cache of our own; afterwards name the files, which starts faster."""
    coordinate = properties["spark.jars.packages"]
    ivy = CACHE.resolve() / "ivy" / coordinate.split(":", 1)[1].replace(":", "-")
    if "," in str(ivy) or pattern_of(str(ivy)) != str(ivy):
        raise ConfigError(
            f"Spark cannot load Delta's JARs from {ivy}: it takes brackets, braces, *, ? and \\ in their path for a pattern "
            "and a comma for its end; set BOOSTQA_CACHE to a folder whose path has none"
        )
    jars = sorted((ivy / "jars").glob("*.jar"))
    own_ivy = {"spark.jars.ivy": str(ivy)}  # Spark's own lies in a home, which not every user has
    if jars:
        found = ",".join(jar.as_uri() for jar in jars)  # in a path # would begin a fragment
        return own_ivy | {"spark.jars.packages": "", "spark.jars.excludes": "", "spark.jars": found}
    return own_ivy | {"spark.jars.ivySettings": str(ROOT / "conf" / "ivysettings.xml")}


def _check_user() -> None:
    """Raise ConfigError for a user without a name: Hadoop's login fails, whatever HADOOP_USER_NAME says."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        uid = os.getuid()
        raise ConfigError(
            f"user {uid} has no entry in /etc/passwd, and Hadoop in the JVM of Spark refuses one without a name: add "
            f"`boostqa:x:{uid}:{os.getgid()}::/tmp:/bin/sh` to it, or run as another user (in Kubernetes runAsUser)"
        ) from None


def check_file_names(encoding: str) -> None:
    """Raise ConfigError unless a JVM reads file names as UTF-8: it passes over files whose names it cannot read, without a
    word, and puts tables into a folder of another name."""
    if encoding.upper() not in ("UTF-8", "UTF8"):
        raise ConfigError(
            f"the JVM of Spark reads file names as {encoding} and would not see files with others: set LC_ALL=C.UTF-8 in its "
            "environment before spark-submit (in a container LANG, on YARN spark.yarn.appMasterEnv.LC_ALL, for executors "
            "spark.executorEnv.LC_ALL)"
        )


def _own_jvm(conf: dict[str, str], master: str) -> dict[str, str]:
    """Properties of a session whose JVM starts here; sets the interpreter of its workers, and a locale by which a JVM sees
    file names that are not ASCII and errors of the system have the words that errors.py knows."""
    _check_user()
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        conf = {"spark.python.daemon.module": "udfs.daemon"} | conf
    properties = _properties(ROOT / "conf" / "spark.conf")
    properties |= _delta_jars(properties) | conf | ({"spark.master": master} if master else {})
    quiet = f"-Dlog4j2.configurationFile={(ROOT / 'conf' / 'log4j2.properties').as_uri()}"
    properties["spark.driver.extraJavaOptions"] = f"{conf.get('spark.driver.extraJavaOptions', '')} {quiet}".strip()
    return properties


def _not_by_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in Path(record.pathname).parts


def _silence_py4j() -> None:
    """What it raises it also logs with a trace, by its own loggers and by the root's."""
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_not_by_py4j)


def set_local_defaults(session: SparkSession) -> None:
    """On one machine: as many shuffle partitions as cores, and two for the state of a Delta table, where neither the conf
    nor spark-submit says otherwise. Spark's 200 and Delta's 50 are tasks that start, find no rows and end."""
    context = session.sparkContext
    if not str(context.master).startswith("local"):
        return
    for key, value in {_SHUFFLE_PARTITIONS: context.defaultParallelism, _SNAPSHOT_PARTITIONS: 2}.items():
        if not context.getConf().contains(key):
            session.conf.set(key, value)


def is_submitted() -> bool:
    """Whether the JVM was there before Python, as spark-submit has it in whatever way it was started (a shell, a pod, YARN,
    Livy): PySpark is told its port."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _properties_of(master: str | None, conf: dict[str, str]) -> dict[str, str]:
    """What a session is given: by who started a JVM or a session before, its master stands."""
    if on_databricks():
        return {}
    if is_submitted() or SparkContext._active_spark_context is not None:
        return {key: value for key, value in conf.items() if key != "spark.master"}
    return _own_jvm(conf, master or "")


def spark_session(name: str, master: str | None = None, conf: dict[str, str] | None = None) -> SparkSession:
    """The session: on Databricks the platform's own; under spark-submit, or where one is there, that one with `conf` applied,
    but for its master; else a new one on `master` with `conf/spark.conf`, then `conf`, applied. On one machine it is given
    fewer partitions than Spark's own.

    Raises ConfigError when the JVM does not start or reads file names in another encoding than UTF-8, and when the session
    has no Delta.
    """
    databricks = on_databricks()
    builder = SparkSession.builder.appName(name)
    for key, value in _properties_of(master, conf or {}).items():
        builder = builder.config(key, value)
    started = SparkSession.getActiveSession() is None
    try:
        session = builder.getOrCreate()
    except Exception as error:  # the gateway raises several kinds; all mean the same to the user
        raise ConfigError(
            f"Spark did not start: {str(error).splitlines()[0]}\n"
            "  needs: Java 17 or 21 on PATH or JAVA_HOME (Debian: apt-get install openjdk-17-jre-headless), "
            "and Maven Central once for Delta's JARs"
        ) from error
    if not databricks:
        jvm = session.sparkContext._jvm
        assert jvm is not None
        check_file_names(jvm.java.lang.System.getProperty("sun.jnu.encoding"))
        if threading.current_thread() is threading.main_thread():
            # Spark's own handler calls the JVM from inside a call to it, which breaks the connection and prints traces.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _silence_py4j()
        session.sparkContext.setLogLevel(
            "FATAL"
        )  # what fails is raised here; the JVM's copy would be printed before it
        if started:
            set_local_defaults(session)
    if "delta" not in (session.conf.get("spark.sql.extensions", "") or "").lower() and not databricks:
        raise ConfigError("the Spark session has no Delta: pass --properties-file conf/spark.conf to spark-submit")
    return session
