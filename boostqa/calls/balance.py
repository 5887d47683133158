"""REQUEST rows -> partitions of equal predicted work, one an engine.

Predicted tokens of a request: its prompt's characters over CHARACTERS_PER_TOKEN, and of its output limit the share that
completions of the same kind (model, template, constraint) used before. Requests of a size class (a power of two of
predicted output tokens) are ordered by prefix, so that those which begin alike meet in an engine's prefix cache; all
classes are cut into slices of equal tokens, and the slices are dealt to the engines in turn, the longest outputs first.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.calls.requests import REQUEST_COLUMNS
from udfs.in_flight import CHARACTERS_PER_TOKEN

SLICES_PER_ENGINE = 32  # at most; engines differ by a request a slice
REQUESTS_PER_SLICE = 8  # at least, on average
BUCKETS = 256  # of prefixes within a size class, so that running sums are not made in one task
PREFIX_CHARACTERS = 1000
_KIND = ("model", "template", "structured")


def _predicted(requests: DataFrame, ledger: DataFrame) -> DataFrame:
    """Grain: a request. Adds `output` and `tokens` (predicted), `size_class` and `prefix`."""
    limit = F.get_json_object("sampling", "$.max_tokens").cast("double")
    used = ledger.groupBy(*_KIND).agg((F.sum("generated_tokens") / F.sum(limit)).alias("used_share"))
    same_kind = [F.col(f"request.{c}").eqNullSafe(F.col(f"used.{c}")) for c in _KIND]
    rows = requests.alias("request").join(F.broadcast(used).alias("used"), on=same_kind, how="left")  # used: unique
    output = (limit * F.coalesce("used_share", F.lit(1.0))).alias("output")
    return rows.select("request.*", output).withColumns(
        {
            "tokens": F.length("prompt") / CHARACTERS_PER_TOKEN + F.col("output"),
            "size_class": F.floor(F.log2(F.greatest("output", F.lit(1.0)))),
            "prefix": F.xxhash64(F.substring("prompt", 1, PREFIX_CHARACTERS)),
        }
    )


def _with_position(rows: DataFrame, engines: int) -> DataFrame:
    """Grain: a request. Adds `bucket`, `position`, the share 0..1 of all predicted tokens that stand before it, and
    `slices`."""
    bucket = ["size_class", "bucket"]
    rows = rows.withColumn("bucket", F.pmod("prefix", F.lit(BUCKETS)))
    longest_first = Window.orderBy(F.desc("size_class"), "bucket")  # a row a bucket
    sums = rows.groupBy(*bucket).agg(F.sum("tokens").alias("bucket_tokens"), F.count("*").alias("bucket_rows"))
    earlier_buckets = F.sum("bucket_tokens").over(longest_first.rowsBetween(Window.unboundedPreceding, -1))
    offsets = sums.select(*bucket, F.coalesce(earlier_buckets, F.lit(0.0)).alias("offset"))  # unique by bucket
    slices = F.floor(F.sum("bucket_rows") / (engines * REQUESTS_PER_SLICE))
    slices_per_engine = F.greatest(F.lit(1), F.least(F.lit(SLICES_PER_ENGINE), slices))
    totals = sums.agg(F.sum("bucket_tokens").alias("all_tokens"), (slices_per_engine * engines).alias("slices"))
    earlier_rows = (
        Window.partitionBy(*bucket).orderBy("prefix", "request_id").rowsBetween(Window.unboundedPreceding, -1)
    )
    before = F.coalesce(F.col("offset") + F.sum("tokens").over(earlier_rows), F.col("offset"))
    placed = rows.join(F.broadcast(offsets), bucket, "inner").crossJoin(F.broadcast(totals))  # totals: one row
    return placed.withColumn("position", before / F.col("all_tokens"))


def balance_partitions(requests: DataFrame, ledger: DataFrame, engines: int) -> DataFrame:
    """REQUEST rows in `engines` partitions of equal predicted tokens, each with its longest outputs first.

    `ledger`: COMPLETION rows, from which the used share of the output limit is learnt (1 where a kind has none).
    """
    rows = _predicted(requests, ledger)
    if engines == 1:
        order: list[Column | str] = [F.desc("size_class"), "prefix", "request_id"]
        return rows.repartition(1).sortWithinPartitions(*order).select(*REQUEST_COLUMNS)
    slice_number = F.floor(F.col("position") * F.col("slices"))
    placed = _with_position(rows, engines).withColumn("engine_number", (slice_number % engines).cast("int"))
    order = [F.desc("size_class"), "bucket", "prefix", "request_id"]
    balanced = placed.repartitionById(engines, "engine_number").sortWithinPartitions(*order)
    return balanced.select(*REQUEST_COLUMNS)
