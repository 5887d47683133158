"""probe item -> labelled probe item. Grain and key: one item, item_id.

Items without both labels disappear here; they are the annotator's rejects.

Labels come, in this order, from the item itself, from its benchmark's subject (boostqa/taxonomy), from the annotator.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.schemas.table import STRINGS
from boostqa.taxonomy import subjects
from boostqa.vocabulary import ItemTable


def label_by_subject(items: DataFrame) -> DataFrame:
    """Items [benchmark, subject, discipline, difficulty, ...] with missing labels taken from the subject table.

    A subject found under one discipline in every benchmark is enough; the item's own benchmark name need not match.
    """
    found: dict[str, set[tuple[str, str | None]]] = {}
    for s in subjects():
        found.setdefault(s.subject, set()).add((s.discipline, s.level))
    sure = {subject: next(iter(labels)) for subject, labels in found.items() if len(labels) == 1}
    discipline = F.create_map(*(F.lit(x) for s, (d, _) in sure.items() for x in (s, d)))
    level = F.create_map(*(F.lit(x) for s, (_, lv) in sure.items() if lv for x in (s, lv)))
    subject = F.coalesce("subject", F.lit(""))
    return items.withColumns(
        {
            "discipline": F.coalesce("discipline", F.try_element_at(discipline, subject)),
            "difficulty": F.coalesce("difficulty", F.try_element_at(level, subject)),
        }
    )


def with_annotations(items: DataFrame, labels: DataFrame) -> DataFrame:
    """Items and the annotator's ANNOTATION rows (unique by item_id) -> items that have both labels, with ANNOTATION
    columns."""
    measured = labels.select(
        "item_id", "annotator", "request_ids", "discipline_probability", "difficulty_probability",
        F.col("discipline").alias("measured_discipline"), F.col("difficulty").alias("measured_difficulty"),
    )  # fmt: skip
    joined = items.join(measured, "item_id", "left")
    given = {
        "discipline_probability": F.when(F.col("discipline").isNotNull(), 1.0).otherwise(
            F.col("discipline_probability")
        ),
        "difficulty_probability": F.when(F.col("difficulty").isNotNull(), 1.0).otherwise(
            F.col("difficulty_probability")
        ),
        "discipline": F.coalesce("discipline", "measured_discipline"),
        "difficulty": F.coalesce("difficulty", "measured_difficulty"),
        "annotator": F.coalesce("annotator", F.lit("given")),
        "request_ids": F.coalesce("request_ids", F.array().cast(STRINGS)),
        "item_table": F.lit(ItemTable.PROBE_ITEM),
    }
    whole = joined.withColumns(given).where(F.col("discipline").isNotNull() & F.col("difficulty").isNotNull())
    return whole.drop("measured_discipline", "measured_difficulty")
