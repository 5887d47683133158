"""clean, and what a student model answered -> student. Grain: one item. Key: draft_id.

How difficult an item is for a model that trusts no annotator: the share of blind attempts that give its answer. What it
does not know: whether the item's answer is right; where it is not, the item looks hard.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def passes(votes: DataFrame) -> DataFrame:
    """Items with their attempts (refine.votes) -> STUDENT rows."""
    return votes.select(
        *("draft_id", "discipline", "strategy", "grade", "difficulty"),
        F.col("refiner").alias("student"),
        F.size("attempts").alias("attempts"),
        F.size(F.filter("equal", lambda same: same)).alias("passed"),
        F.col("attempts.request_id").alias("request_ids"),
    )
