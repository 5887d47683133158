"""measured tries -> tries to make again, drafts, rejects; drafts and their labels -> measured. Grain: one measured draft.
Key: draft_id.

High-difficulty questions end up easier than intended: one that is measured below its aim goes back with what it lacks and
its own text, and the best try of a request is its draft. What may disappear: all other tries, and (by conf) drafts that
stay below their aim.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.config import Synthesize
from boostqa.schemas import DRAFT, MEASURED
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.vocabulary import Cause, Strategy

BELOW_AIM = Rule("below_aim", Cause.DEGRADATION)
TRIED_HARDER = Rule("tried_harder", Cause.DEGRADATION)
RULES = (BELOW_AIM, TRIED_HARDER)
# Between the sample indices of a request's first draft and of its next, harder one; far above those of tries that failed.
HARDER_APART = 1_000_000


def attempt(sample_index: Column) -> Column:
    """0 for a request's first draft, 1 for the one that followed because it was too easy, and so on."""
    return F.floor(sample_index / HARDER_APART).cast("int")


def is_below() -> Column:
    """Whether a measured high_difficulty row is below its aim."""
    return (F.col("strategy") == Strategy.HIGH_DIFFICULTY) & (F.col("difficulty") < F.col("grade"))


def harder(rows: DataFrame, last: DataFrame, number: int) -> DataFrame:
    """Rows of synthesize.with_material and what `measured` gives of the attempt before (both unique by plan_id) -> the
    rows to try once more, whose last draft was below its aim: each has the sample index of attempt `number` and
    `shortfall`, what the prompt says of that draft."""
    last = last.where(is_below()).select("plan_id", "question", "difficulty")
    due = rows.drop("shortfall").join(last, "plan_id", "inner")  # unique by plan_id: one draft an attempt
    lang = F.col("lang")
    words = (prompts.wording("part", F.lit(part), lang) for part in ("shortfall", "shortfall_level", "shortfall_end"))
    begin, level, end = words
    told = F.concat(begin, "question", level, prompts.wording("grade", F.col("difficulty"), lang), end)
    index = F.col("sample_index") + number * HARDER_APART
    return due.withColumns({"shortfall": told, "sample_index": index}).drop("question", "difficulty")


def measured(drafts: DataFrame, labels: DataFrame, completions: DataFrame) -> DataFrame:
    """Drafts [DRAFT columns without difficulty], their ANNOTATION rows (unique by item_id) and the ledger (unique by
    request_id) -> MEASURED rows and the drafts' other columns; drafts without a label are left out."""
    labels = labels.select(F.col("item_id").alias("draft_id"), "difficulty")
    cost = completions.select("request_id", "sample_index", F.col("generated_tokens").alias("tokens"))
    rows = drafts.join(labels, "draft_id", "inner").join(cost, "request_id", "inner")
    return rows.withColumn("attempt", attempt(F.col("sample_index"))).drop("sample_index")


def unlabelled(drafts: DataFrame, rejects: DataFrame) -> DataFrame:
    """Drafts, and the annotator's rejects of some (unique by key, the draft_id) -> these with the draft's own request."""
    own = drafts.select(F.col("draft_id").alias("key"), F.array("request_id").alias("own"))
    found = rejects.join(own, "key", "inner")
    return found.withColumn("request_ids", F.concat("own", "request_ids")).drop("own")


def best(measured: DataFrame, conf: Synthesize) -> tuple[DataFrame, DataFrame]:
    """What `measured` gives -> (MEASURED rows with `kept`, and the drafts' other columns; rejects with key draft_id).

    Of each request the hardest try stays, at its aim the first one; `below_aim` where it is below and the conf rejects
    that, `tried_harder` for the others.
    """
    reached = F.least("difficulty", "grade")  # beyond the aim is not better than at it
    order = Window.partitionBy("plan_id").orderBy(F.desc(reached), "attempt", "draft_id")
    rows = measured.withColumn("place", F.row_number().over(order))
    evidence = F.format_string("aimed at %s, measured %s", "grade", "difficulty")
    broken = F.when(F.col("place") > 1, breaks_rule(TRIED_HARDER, evidence)).when(
        is_below() & F.lit(conf.below_aim == "reject"), breaks_rule(BELOW_AIM, evidence)
    )
    judged = rows.withColumn("broken_rule", broken).withColumn("kept", F.col("broken_rule").isNull()).drop("place")
    rejects = reject_rows(judged, "synthesize", "draft_id", F.array("request_id"))
    return judged.drop("broken_rule"), rejects


def as_measured(rows: DataFrame) -> DataFrame:
    """Rows of `best` -> MEASURED rows."""
    return rows.select(*MEASURED.schema.names)


def as_drafts(rows: DataFrame) -> DataFrame:
    """Rows of `best` -> DRAFT rows: those that are kept."""
    return rows.where("kept").select(*DRAFT.schema.names)
