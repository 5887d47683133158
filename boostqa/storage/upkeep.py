"""Upkeep of a warehouse's tables: small files are joined (OPTIMIZE), and files that no version within its retention needs are
removed (VACUUM). No row changes, so no stage has to run again; what an export was made from stays for its own retention."""

from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import functions as F

from boostqa.console import CONSOLE
from boostqa.schemas import TABLES
from boostqa.storage.commits import until_alone
from boostqa.storage.warehouse import Warehouse

Row = dict[str, Any]
_LOGGED = "spark.databricks.delta.vacuum.logging.enabled"  # off by default on object stores: the count would be missing
# Tasks of each step in which VACUUM lists a folder: by Spark's 10,000 a table of a few files takes 70,000 tasks, a minute.
_LISTING = "spark.sql.sources.parallelPartitionDiscovery.parallelism"


def maintain(tables: Warehouse) -> list[Row]:
    """Maintain each table that exists, the ledger too -> a row each: table, files_before, files, bytes, removed (files).

    The caller holds the lease of the warehouse; writers of a shared ledger that meet its OPTIMIZE try again.
    """
    spark = tables.spark
    chosen = {_LOGGED: "true", _LISTING: str(4 * spark.sparkContext.defaultParallelism)}
    before = {key: spark.conf.get(key, None) for key in chosen}
    try:
        for key, value in chosen.items():
            spark.conf.set(key, value)
        return [_maintained(tables, name) for name in filter(tables.exists, TABLES)]
    finally:
        for key, was in before.items():
            spark.conf.unset(key) if was is None else spark.conf.set(key, was)


def _maintained(tables: Warehouse, name: str) -> Row:
    CONSOLE.print(f"  {name}", markup=False, highlight=False)
    table = tables.delta(name)
    files_before = _detail(table)["numFiles"]
    until_alone(name, tables.location, lambda: table.optimize().executeCompaction())
    table.vacuum()
    removed = (
        table.history(2).where("operation = 'VACUUM END'").select(F.col("operationMetrics.numDeletedFiles")).first()
    )
    after = _detail(table)
    return {
        "table": name, "files_before": files_before, "files": after["numFiles"], "bytes": after["sizeInBytes"],
        "removed": int(removed[0]) if removed and removed[0] else 0,
    }  # fmt: skip


def _detail(table: DeltaTable) -> Row:
    found = table.detail().select("numFiles", "sizeInBytes").first()
    assert found is not None
    return found.asDict()
