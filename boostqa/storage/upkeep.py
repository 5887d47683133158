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


def maintain(tables: Warehouse) -> list[Row]:
    """Maintain each table that exists, the ledger too -> a row each: table, files_before, files, bytes, removed (files).

    The caller holds the lease of the warehouse; writers of a shared ledger that meet its OPTIMIZE try again.
    """
    done: list[Row] = []
    spark = tables.spark
    before = spark.conf.get(_LOGGED, None)
    spark.conf.set(_LOGGED, "true")
    try:
        for name in filter(tables.exists, TABLES):
            CONSOLE.print(f"  {name}", markup=False, highlight=False)
            done.append(_maintained(tables, name))
    finally:
        spark.conf.unset(_LOGGED) if before is None else spark.conf.set(_LOGGED, before)
    return done


def _maintained(tables: Warehouse, name: str) -> Row:
    place = tables.place(name)
    table = DeltaTable.forName(tables.spark, place.sql) if place.names else DeltaTable.forPath(tables.spark, place.path)
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
