"""What licences ask for, of columns (udfs/licences.py knows them)."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from udfs import licences


def owes_attribution(licence: Column, attribution: Column) -> Column:
    """Whether licences (joined by " AND ") ask for the name of an author, and there is none."""
    return licence.rlike("(^| AND )CC-BY") & ~F.coalesce(attribution.rlike(r"\S"), F.lit(False))


def permitted(rows: DataFrame, into: str | None) -> tuple[DataFrame, int]:
    """Rows with `licence` -> (those that may go out under another, the number of the others), looking at each licence once."""
    if into is None:
        return rows, 0
    counted = rows.groupBy("licence").count().collect()
    others = {r["licence"]: r["count"] for r in counted if r["licence"] and licences.conflict(r["licence"], into)}
    return rows.where(~F.col("licence").isin(*others)) if others else rows, sum(others.values())
