"""The one Spark session of the tests (lazy, session scope, small, UTC, in a temporary folder), and a stage's run in it."""

import os
import sys

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from tests.processes import DEMO

os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["HF_HUB_OFFLINE"] = "1"  # a test asks no hub
os.environ["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)


# A few rows: planning and compiling cost more than they save.
FAST = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items):
    """What needs the whole line is marked so; the longest files first: the processes that share the tests end together."""
    for item in items:
        if "done" in item.fixturenames:
            item.add_marker(pytest.mark.line)
    first = ("test_line.py", "test_catalog.py", "test_vllm.py")
    items.sort(key=lambda item: first.index(item.path.name) if item.path.name in first else len(first))


@pytest.fixture(scope="session")
def worker_folder(tmp_path_factory):
    """The temporary folder of the session's Python workers, in which engine hosts keep their files."""
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="session")
def spark(tmp_path_factory, worker_folder):
    from boostqa.session import spark_session

    metastore = tmp_path_factory.mktemp("metastore")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(worker_folder))  # workers inherit it from the JVM
        session = spark_session(
            "tests",
            master="local[2]",
            conf={
                "spark.ui.enabled": "false",
                "spark.ui.showConsoleProgress": "false",
                "spark.sql.shuffle.partitions": "2",
                "spark.databricks.delta.snapshotPartitions": "1",
                "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",  # of VACUUM
                "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
                "spark.sql.catalogImplementation": "hive",  # a metastore, started by who first uses a catalog
                "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={metastore}/derby;create=true",
                "spark.driver.memory": "2g",
                "spark.buffer.pageSize": "1m",  # by default each broadcast of a few rows takes 16 MB of the heap
                "spark.driver.extraJavaOptions": f"-XX:+UseSerialGC -Dderby.stream.error.file={metastore}/derby.log",
            },
        )
        for name, value in FAST.items():
            session.conf.set(name, value)
        patch.setattr(type(session), "createDataFrame", _local_relation(type(session).createDataFrame))
        yield session
    session.stop()


@pytest.fixture(scope="module", autouse=True)
def _leave_no_state():
    """A driver keeps the snapshot of every Delta table for an hour, and a test leaves a dozen tables."""
    yield
    if session := SparkSession.getActiveSession():
        session.catalog.clearCache()
        session._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


@pytest.fixture
def new_stage(spark, tmp_path):
    """new_stage(*settings, run_id=...): a stage's run; without `warehouse=` on the test's own warehouse."""

    from boostqa import config
    from boostqa.storage.warehouse import Warehouse
    from boostqa.tracking.stage_run import StageRun

    def make(*settings, run_id="run1", session=spark):
        conf = config.load(DEMO, [f"warehouse={tmp_path}/w", *settings])
        warehouse = Warehouse(session, conf.warehouse, conf.generation.ledger)
        return StageRun(session, conf, "synthesize", run_id, warehouse)

    return make


@pytest.fixture
def stage(new_stage):
    return new_stage()


@pytest.fixture(scope="module")
def conf_reads():
    """(stage, section, key) of the conf that the stages of `done` read, but for how and where they run."""
    return set()


@pytest.fixture(scope="module")
def done(spark, tmp_path_factory, conf_reads):
    """The folder of a line that ran once over the demo's input (tests/whole_line.py)."""
    from tests import whole_line

    folder = tmp_path_factory.mktemp("pipeline")
    whole_line.run_once(folder, conf_reads)
    return folder


@pytest.fixture(scope="module")
def first(spark, done):
    """What the tables say after the first run."""
    from boostqa.report.status import collect
    from boostqa.storage.warehouse import Warehouse

    return collect(Warehouse(spark, f"{done}/warehouse"))


@pytest.fixture(scope="session")
def small_line(spark, tmp_path_factory):
    """A small warehouse of hand-written rows (tests/small_line.py)."""
    from tests import small_line

    return small_line.tables(spark, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_status(small_line):
    """What `boostqa status --json` says of it."""
    import json

    from boostqa.report.status import collect

    return json.loads(json.dumps(collect(small_line)))


def _local_relation(create):
    """createDataFrame that keeps a list of rows in the plan: Spark's own reads it back through Python workers, a tenth of
    a second for each task of each job."""

    def created(self, data, schema=None, **more):
        if not isinstance(data, list) or schema is None or more:
            return create(self, data, schema, **more)
        struct = StructType.fromDDL(schema) if isinstance(schema, str) else schema
        rows = [row if isinstance(row, dict) else dict(zip(struct.names, row, strict=True)) for row in data]
        return create(self, pa.Table.from_pylist(rows, schema=to_arrow_schema(struct)), struct)

    return created
