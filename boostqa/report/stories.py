"""A few items with all that became of them, and a few rejects of each rule: chosen by hash, so that the same tables show the
same ones, and bounded whatever the tables' size."""

from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from boostqa.report.browse import said
from boostqa.report.side_by_side import items_of, kept, rows_with
from boostqa.storage.warehouse import Warehouse
from boostqa.taxonomy import english_names

SALT = "report"
Row = dict[str, Any]


def stories(warehouse: Warehouse, count: int) -> list[Row]:
    """At most `count` items (report/side_by_side.py), half of them of the mix as far as it has so many, the others any
    requests; each with `name` of its discipline and `fate`: kept, or the stage and rule that ended it."""
    exported = warehouse.rows("mix").where("pass = 1").select(F.explode("draft_ids").alias("draft_id"))
    first = _few(exported, "draft_id", count // 2)
    told = [r["plan_id"] for r in rows_with(warehouse, "draft", "draft_id", first)]
    others = [p for p in _few(warehouse.rows("plan"), "plan_id", count) if p not in told]
    asked = rows_with(warehouse, "plan", "plan_id", [*told, *others][:count])
    names = english_names()
    items = items_of(warehouse, asked) if asked else []
    found = [i | {"name": names.get(i["discipline"], ""), "fate": _fate(i)} for i in items]
    return sorted(found, key=lambda i: (i["discipline"], i["grade"], i["plan_id"]))


def _few(rows: DataFrame, key: str, count: int) -> list[str]:
    order = F.xxhash64(key, F.lit(SALT)), F.col(key)
    return [r[0] for r in rows.select(key).orderBy(*order).limit(count).collect()]


def _fate(item: Row) -> str:
    if item["filters"]:
        return f"{item['filters'][-1]['stage']}: {item['filters'][-1]['rule']}"
    if kept(item):
        return "kept"
    return "not in the mix" if item["draft"] else "no draft"


def examples(warehouse: Warehouse, per_rule: int) -> list[Row]:
    """At most `per_rule` REJECT rows of each stage and rule, with `said` (report/browse.py)."""
    if not warehouse.exists("reject"):
        return []
    first = Window.partitionBy("stage", "rule").orderBy(F.xxhash64("key", F.lit(SALT)), "key", "round")
    rows = warehouse.read("reject").withColumn("place", F.row_number().over(first)).where(F.col("place") <= per_rule)
    return said(warehouse, [r.asDict() for r in rows.orderBy("stage", "rule", "place").collect()])
