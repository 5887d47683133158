"""control, votes, judgements -> power. Grain: one check on one kind of control. Key: (check, defect).

What the checks make of known items is what they are worth: a voter that cannot answer known questions and a judge that
cannot tell known pairs of answers apart are no evidence for unknown ones.
"""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.languages import in_language
from boostqa.schemas import POWER
from boostqa.stages.wording import is_multiple_choice
from boostqa.vocabulary import DRAFT_LETTERS, Defect
from boostqa.wilson import wilson

LINE, VOTER, JUDGE = "line", "voter", "judge"  # checks that are no rules
EQUAL, DIFFERENT = "equal", "different"  # the known pairs of answers that a judge is tried on
MOST_DIFFERENT_CALLED_EQUAL = 0.1  # by a judge who is believed
_PAIRS = 40  # known pairs at most, half of them equal


def known_pairs(controls: DataFrame) -> DataFrame:
    """CONTROL rows -> [draft_id, defect (equal | different), lang, question, first, second]: pairs of answers of which it
    is known whether they mean the same, from positive controls: an answer and the sentence that states it; the answers
    of two items."""
    positive = controls.where(F.col("defect") == Defect.NONE)
    right = F.when(is_multiple_choice(), F.get("choices", F.ascii("known_answer") - ord("A"))).otherwise(
        F.col("known_answer")
    )
    rows = positive.select(
        "draft_id", "lang", "question", right.alias("first"), F.xxhash64("draft_id", F.lit("pair")).alias("order")
    )
    rows = rows.orderBy("order", "draft_id").limit(_PAIRS)
    others = rows.groupBy("lang").agg(F.array_sort(F.collect_list(F.struct("order", "first"))).alias("others"))
    rows = rows.join(F.broadcast(others), on="lang", how="inner")  # unique by lang
    place = F.array_position("others", F.struct("order", "first")).cast("int")
    other = F.get("others", F.pmod(place, F.size("others")))["first"]  # the next one: position counts from 1
    equal = F.pmod("order", F.lit(2)) == 0
    second = F.when(equal, _sentence(F.col("first"))).otherwise(other)
    pairs = rows.withColumns({"defect": F.when(equal, EQUAL).otherwise(DIFFERENT), "second": second})
    differ = (F.col("defect") == EQUAL) | (F.lower("first") != F.lower("second"))
    return pairs.where(differ).select("draft_id", "defect", "lang", "question", "first", "second")


def _sentence(answer: Column) -> Column:
    return in_language(
        F.col("lang"),
        F.concat(F.lit("所以答案是"), answer, F.lit("。")),
        F.concat(F.lit("So the answer is "), answer, F.lit(".")),
    )


def _power(
    rows: DataFrame, check: str | Column, chance: Column | None = None, model: Column | None = None
) -> DataFrame:
    """[defect, passed (boolean), tokens] and what `chance` and `model` aggregate -> POWER rows by check and defect."""
    none = F.lit(None)
    counted = (
        rows.withColumn("check", F.lit(check) if isinstance(check, str) else check)
        .groupBy("check", "defect")
        .agg(
            F.count("*").alias("items"),
            F.count_if("passed").alias("passed"),
            (none.cast("double") if chance is None else chance).alias("chance"),
            (none.cast("string") if model is None else model).alias("model"),
            F.sum("tokens").cast("long").alias("tokens"),
        )
    )
    low, high = wilson(F.col("share"), F.col("items"))
    rated = counted.withColumn("share", F.col("passed") / F.col("items"))
    return rated.withColumns({"wilson_low": low, "wilson_high": high}).select(*POWER.schema.names)


def voter_power(votes: DataFrame, controls: DataFrame) -> DataFrame:
    """refine.votes (unique by draft_id) and CONTROL rows -> the POWER row of the voter: how many positive controls its
    first attempt answers right; an attempt without an answer is wrong. Chance is that of a random letter, 0 for open
    answers."""
    positive = controls.where(F.col("defect") == Defect.NONE).select("draft_id", "defect")
    first = F.get("attempts", F.lit(0))["answer"].isNotNull() & F.get("equal", F.lit(0))
    rows = votes.join(positive, on="draft_id", how="inner").select(  # both unique by draft_id
        "defect", F.coalesce(first, F.lit(False)).alias("passed"), F.lit(0).alias("tokens"), "refiner",
        F.when(is_multiple_choice(), 1 / len(DRAFT_LETTERS)).otherwise(0.0).alias("guess"),
    )  # fmt: skip
    return _power(rows, VOTER, F.avg("guess"), F.max("refiner"))


def judge_power(requests: DataFrame, replies: DataFrame) -> DataFrame:
    """Requests of known pairs (with `draft_id`, `defect`, `model`) and the judge's replies [request_id, same] -> its POWER
    rows; a reply that is none (same is null) is left out."""
    said = requests.join(replies.where("same is not null"), on="request_id", how="inner")
    rows = said.select("defect", F.col("same").alias("passed"), F.lit(0).alias("tokens"), "model")
    return _power(rows, JUDGE, model=F.max("model"))


def power(controls: DataFrame, completions: DataFrame) -> DataFrame:
    """CONTROL rows of all stages and the ledger -> POWER rows of the line and of each rule that stopped a control."""
    last = F.struct(
        F.col("rule").isNotNull(), F.when(F.col("stage") == "clean", 2).when(F.col("stage") == "refine", 1).otherwise(0)
    )
    ended = controls.groupBy("draft_id", "defect").agg(
        F.max_by(F.struct("rule", "stage"), last).alias("end"),
        F.array_distinct(F.flatten(F.collect_list("request_ids"))).alias("request_ids"),
    )
    cost = completions.select("request_id", "generated_tokens")
    paid = ended.select("draft_id", F.explode("request_ids").alias("request_id")).join(
        cost, on="request_id", how="inner"
    )
    paid = paid.groupBy("draft_id").agg(F.sum("generated_tokens").alias("tokens"))
    rows = ended.join(paid, on="draft_id", how="left").select(  # both unique by draft_id
        "draft_id", "defect", F.col("end.rule").alias("rule"), F.coalesce("tokens", F.lit(0)).alias("tokens")
    )
    line = _power(rows.withColumn("passed", F.col("rule").isNull()), LINE)
    rules = rows.where(F.col("rule").isNotNull()).select(F.col("rule").alias("check")).distinct()
    each = rows.crossJoin(F.broadcast(rules)).withColumn("passed", ~F.col("rule").eqNullSafe(F.col("check")))
    return line.unionByName(_power(each.withColumn("tokens", F.lit(0)), F.col("check")))


def voter_is_trusted(power: list[dict[str, Any]]) -> bool:
    """Whether the voter answers known questions better than a guess; without controls nobody knows: False."""
    rows = [r for r in power if r["check"] == VOTER]
    return bool(rows) and all(r["wilson_low"] > r["chance"] for r in rows)


def judge_is_trusted(power: list[dict[str, Any]]) -> bool:
    """Whether the judge tells equal from different answers: its intervals on known pairs do not meet, and it calls at
    most MOST_DIFFERENT_CALLED_EQUAL of the different ones equal."""
    rows = {r["defect"]: r for r in power if r["check"] == JUDGE}
    if set(rows) != {EQUAL, DIFFERENT}:
        return False
    apart = rows[EQUAL]["wilson_low"] > rows[DIFFERENT]["wilson_high"]
    return bool(apart and rows[DIFFERENT]["share"] <= MOST_DIFFERENT_CALLED_EQUAL)
