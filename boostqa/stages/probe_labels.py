"""probe item -> labelled probe item, rejects. Grain and key: one item, item_id.

Labels come, in this order, from the item itself, from its benchmark's subject (boostqa/taxonomy), from the annotator; a
difficulty that is still missing is the one that most items of the same subject have. Items without both labels
disappear here. What it does not know: what the annotator was asked.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.lookup import literal_map
from boostqa.schemas.table import STRINGS
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.taxonomy import known_subjects
from boostqa.vocabulary import Cause, ItemTable

UNLABELLED = Rule("unlabelled", Cause.UNLABELLED)
RULES = (UNLABELLED,)


def label_by_subject(items: DataFrame) -> DataFrame:
    """Items [benchmark, subject, discipline, difficulty, ...] with missing labels taken from the subject table.

    A subject found under one discipline in every benchmark is enough; the item's own benchmark name need not match.
    """
    sure = known_subjects()
    discipline = literal_map({subject: code for subject, (code, _) in sure.items()})
    level = literal_map({subject: level for subject, (_, level) in sure.items() if level})
    subject = F.coalesce("subject", F.lit(""))
    return items.withColumns(
        {
            "discipline": F.coalesce("discipline", F.try_element_at(discipline, subject)),
            "difficulty": F.coalesce("difficulty", F.try_element_at(level, subject)),
        }
    )


def lacking(requests: DataFrame, items: DataFrame) -> DataFrame:
    """Those of the annotator's requests [item_id, label, ...] whose label the item (unique by item_id) does not have, and
    those of no item."""
    known = items.select("item_id", F.col("discipline").alias("_discipline"), F.col("difficulty").alias("_difficulty"))
    wanted = F.when(F.col("label") == "difficulty", F.col("_difficulty").isNull()).otherwise(
        F.col("_discipline").isNull()
    )
    return (
        requests.join(known, "item_id", "left")
        .where(wanted | F.col("item_id").isNull())
        .drop("_discipline", "_difficulty")
    )


def labelled(items: DataFrame, measured: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Items (unique by item_id) and what the annotator said of them (unique by item_id; annotate.by_item) -> (items with
    both labels and ANNOTATION columns, rejects).

    The probability of a given label is 1, that of a subject's usual difficulty the share of its items that have it.
    """
    said = measured.select(
        "item_id", "annotator", "request_ids", "failure", "discipline_code", "difficulty_code",
        F.col("difficulty_expected").alias("said_expected"),
        F.col("discipline_probability").alias("said_discipline"), F.col("difficulty_probability").alias("said_difficulty"),
    )  # fmt: skip
    joined = items.join(said, "item_id", "left")
    own = joined.withColumns(
        {
            "discipline_probability": F.when(F.col("discipline").isNotNull(), 1.0).otherwise(F.col("said_discipline")),
            "difficulty_probability": F.when(F.col("difficulty").isNotNull(), 1.0).otherwise(F.col("said_difficulty")),
            "difficulty_expected": F.when(F.col("difficulty").isNull(), F.col("said_expected")),
            "discipline": F.coalesce("discipline", "discipline_code"),
            "difficulty": F.coalesce("difficulty", "difficulty_code"),
        }
    )
    whole = own.join(_usual_difficulty(own), ["benchmark", "subject"], "left").withColumns(  # unique by both
        {
            "difficulty_probability": F.when(F.col("difficulty").isNull(), F.col("share")).otherwise(
                F.col("difficulty_probability")
            ),
            "difficulty": F.coalesce("difficulty", "usual"),
            "annotator": F.coalesce("annotator", F.lit("given")),
            "request_ids": F.coalesce("request_ids", F.array().cast(STRINGS)),
            "item_table": F.lit(ItemTable.PROBE_ITEM),
        }
    )
    missing = F.array_compact(
        F.array(*(F.when(F.col(label).isNull(), F.lit(label)) for label in ("discipline", "difficulty")))
    )
    cannot_tell = F.format_string("annotator %s cannot tell the %s", "annotator", F.array_join(missing, " and the "))
    evidence = F.concat_ws("; ", cannot_tell, "failure")
    judged = whole.withColumn("broken_rule", F.when(F.size(missing) > 0, breaks_rule(UNLABELLED, evidence)))
    kept = judged.where("broken_rule is null").select(
        *items.columns,
        "discipline_probability",
        "difficulty_probability",
        "difficulty_expected",
        "annotator",
        "request_ids",
        "item_table",
    )
    return kept, reject_rows(judged, "probe", "item_id", F.col("request_ids"))


def _usual_difficulty(items: DataFrame) -> DataFrame:
    """[benchmark, subject, usual, share], unique by the first two: the difficulty that most of a subject's labelled items
    have, of two alike the higher one, and the share of them that do."""
    counts = items.where("difficulty is not null").groupBy("benchmark", "subject", "difficulty").count()
    return counts.groupBy("benchmark", "subject").agg(
        F.max_by("difficulty", F.struct("count", "difficulty")).alias("usual"),
        (F.max("count") / F.sum("count")).alias("share"),
    )
