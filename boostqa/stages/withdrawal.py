"""withdrawal, rows made from seeds -> what may not be used any more. Grain of the table: one thing that was withdrawn.

A person withdraws a seed, a source or a licence for good. What was made from it stays in its tables, where `boostqa explain`
finds it, and is left out of every mix from then on; rounds that are planned later use none of its seeds. Not known here:
items whose prompts showed a withdrawn seed as an exemplar only.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.vocabulary import Cause, Withdrawable

WITHDRAWN = Rule("withdrawn", Cause.RULE)


def marked(rows: DataFrame, withdrawal: DataFrame) -> DataFrame:
    """Rows with seed_id, source and licence, and WITHDRAWAL rows -> [seed_id, kind, value, why], a row for each withdrawal
    that a seed of the rows falls under; of a licence "A AND B" each part counts."""
    own = F.array(
        F.struct(F.lit(Withdrawable.SEED).alias("kind"), F.col("seed_id").alias("value")),
        F.struct(F.lit(Withdrawable.SOURCE).alias("kind"), F.col("source").alias("value")),
    )
    parts = F.transform(
        F.split("licence", " AND "),
        lambda name: F.struct(F.lit(Withdrawable.LICENCE).alias("kind"), name.alias("value")),
    )
    seeds = rows.select("seed_id", "source", "licence").distinct()
    each = seeds.select("seed_id", F.inline(F.concat(own, parts)))
    return each.join(F.broadcast(withdrawal.select("kind", "value", "why")), ["kind", "value"], "inner").distinct()


def left(rows: DataFrame, withdrawal: DataFrame) -> DataFrame:
    """The rows with seed_id, source and licence that fall under no withdrawal. Withdrawals are few: each row is held against
    them where it lies."""
    of = {kind: F.broadcast(withdrawal.where(F.col("kind") == kind).select("value")) for kind in Withdrawable}
    licences = F.split(rows["licence"], " AND ")
    rows = rows.join(of[Withdrawable.LICENCE], F.array_contains(licences, F.col("value")), "left_anti")
    for kind, column in ((Withdrawable.SEED, "seed_id"), (Withdrawable.SOURCE, "source")):
        rows = rows.join(of[kind].withColumnRenamed("value", column), column, "left_anti")
    return rows


def split(clean: DataFrame, withdrawal: DataFrame) -> tuple[DataFrame, DataFrame]:
    """CLEAN rows -> (those that may go on, rejects `withdrawn` of stage mix)."""
    told = F.concat(F.col("kind"), F.lit(" "), F.col("value"), F.lit(": "), F.col("why"))
    why = F.array_join(F.array_sort(F.collect_set(told)), " | ")
    out = marked(clean, withdrawal).groupBy("seed_id").agg(why.alias("why"))
    rows = clean.join(out, "seed_id", "left")  # out: unique by seed_id
    broken = rows.where("why is not null").withColumn("broken_rule", breaks_rule(WITHDRAWN, F.col("why")))
    return rows.where("why is null").drop("why").select(*clean.columns), reject_rows(broken, "mix", "draft_id")
