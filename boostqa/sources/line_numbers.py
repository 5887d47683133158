"""Exact line and row numbers of a distributed scan, and the names of files as people write them."""

import os

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def file_name(path: Column) -> Column:
    """A file URI as people write it: local paths without scheme, relative when below the working directory."""
    decoded = F.url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
    return F.regexp_replace(F.regexp_replace(decoded, "^file:/+", "/"), rf"^\Q{os.getcwd().rstrip('/')}/\E", "")


def _first_lines(scan: DataFrame) -> DataFrame:
    """Grain: a block of a file, key (_path, _start). Adds `file` and `_number_of_id`: what to add to a row's `_id` in
    the scan to get its 1-based number in the file, from the rows of the file's earlier blocks."""
    blocks = scan.groupBy("_path", "_start").agg(F.min("_id").alias("lowest_id"), F.count("*").alias("rows"))
    earlier = Window.partitionBy("_path").orderBy("_start").rowsBetween(Window.unboundedPreceding, -1)
    rows_before = F.coalesce(F.sum("rows").over(earlier), F.lit(0))
    number_of_id = rows_before - F.col("lowest_id") + 1
    return blocks.select(
        "_path", "_start", file_name(F.col("_path")).alias("file"), number_of_id.alias("_number_of_id")
    )


def numbered(df: DataFrame, columns: dict[str, Column]) -> DataFrame:
    """file, exact 1-based line and `columns` of a scan, at the cost of counting the rows of each block of each file.

    Inside its block a row's place is its monotonically_increasing_id less the lowest one of the block: the rows of a
    block are consecutive in their task. Both scans stand in one plan and are cut into the same tasks, as neither
    filters.
    """
    path, start = F.col("_metadata.file_path").alias("_path"), F.col("_metadata.file_block_start").alias("_start")
    scan_id = F.monotonically_increasing_id().alias("_id")
    first_lines = F.broadcast(_first_lines(df.select(path, start, scan_id)))  # unique by block
    rows = df.select(*(c.alias(name) for name, c in columns.items()), path, start, scan_id)
    joined = rows.join(first_lines, on=["_path", "_start"], how="inner")
    return joined.select("file", (F.col("_id") + F.col("_number_of_id")).alias("line"), *columns)
