"""annotated QA seeds, plan -> a few of them for each plan row, to show level and style.

Grain of the result: one plan row. Key: plan_id. Every choice is a hash. Seeds are no probe and no benchmark items: job 1
drops what shares text with either. What it does not know: whether an exemplar's answer is right.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.stages.wording import is_multiple_choice
from boostqa.taxonomy import broad_field
from boostqa.vocabulary import GRADES, Kind

CANDIDATES = 16  # of a cell, the nearest ones: every plan row of the cell draws from the same few, without a shuffle
# A longer question or answer shows less and invites copying.
_LONGEST_QUESTION, _LONGEST_ANSWER = 400, 120
# What cannot stand alone, or asks for several things at once.
_LEANS = r"(?i)\b(?:figure|fig\.|table|previous|preceding|following|above|below|exercise|problem \d)\b|\([a-c]\)|图|表\s?\d|上[文题述]|下[文列表]"
_CELL = ("lang", "discipline", "grade", "has_choices")


def _pool(seeds: DataFrame, labels: DataFrame) -> DataFrame:
    """QA seeds that can be shown, with the `difficulty` and `own_discipline` that the annotator gave them; at most
    CANDIDATES of each, so that what follows is small whatever the seeds are."""
    question, answer = F.col("question"), F.col("answer")
    short = (F.length(question) <= _LONGEST_QUESTION) & (F.length(answer) <= _LONGEST_ANSWER)
    fit = seeds.where((F.col("kind") == Kind.QA) & short & ~F.concat(question, answer).rlike(_LEANS))
    shown = F.struct("seed_id", "doc_id", "question", "choices", "answer").alias("exemplar")
    has_choices = F.coalesce(F.size("choices") > 0, F.lit(False)).alias("has_choices")
    labelled = labels.select("seed_id", F.col("discipline").alias("own_discipline"), "difficulty")
    cell = ["lang", "has_choices", "own_discipline", "difficulty"]
    pool = fit.join(labelled, "seed_id", "inner").select("lang", has_choices, *cell[2:], shown)
    by_hash = Window.partitionBy(*cell).orderBy(F.xxhash64("exemplar.seed_id"), "exemplar.seed_id")
    return pool.withColumn("place", F.row_number().over(by_hash)).where(F.col("place") <= CANDIDATES).drop("place")


def _step(level: Column) -> Column:
    return F.array_position(F.array(*map(F.lit, GRADES)), level)


def _candidates(cells: DataFrame, pool: DataFrame) -> DataFrame:
    """Cells (unique by _CELL) -> the same with `candidates`: array of (far, exemplar), at most CANDIDATES.

    `far` is smallest for the same discipline and the difficulty nearest the grade; other disciplines of the broad field
    come after it.
    """
    pool = pool.withColumn("broad", broad_field(F.col("own_discipline")))
    other = (F.col("own_discipline") != F.col("discipline")).cast("int")
    far = other * len(GRADES) + F.abs(_step(F.col("difficulty")) - _step(F.col("grade")))
    cells = cells.withColumn("broad", broad_field(F.col("discipline")))
    pairs = cells.join(pool, ["lang", "has_choices", "broad"], "inner").withColumn("far", far)
    order = Window.partitionBy(*_CELL).orderBy("far", F.xxhash64("exemplar.seed_id", *_CELL), "exemplar.seed_id")
    nearest = pairs.withColumn("place", F.row_number().over(order)).where(F.col("place") <= CANDIDATES)
    return nearest.groupBy(*_CELL).agg(
        F.sort_array(F.collect_list(F.struct("far", "place", "exemplar"))).alias("candidates")
    )


def _drawn(count: int) -> Column:
    """The first `count` of a row's candidates, the nearest ones and among these by hash; never the seed itself, another
    item of its document, or one whose question stands in its text."""
    fit = F.filter(
        F.coalesce("candidates", F.array()),
        lambda c: (
            (c["exemplar"]["seed_id"] != F.col("seed_id"))
            & (c["exemplar"]["doc_id"] != F.col("doc_id"))
            & ~F.contains(F.col("text"), c["exemplar"]["question"])
        ),
    )
    by_hash = F.transform(
        fit,
        lambda c: F.struct(c["far"], F.xxhash64("plan_id", c["exemplar"]["seed_id"]).alias("number"), c["exemplar"]),
    )
    return F.transform(F.slice(F.array_sort(by_hash), 1, count), lambda c: c["exemplar"])


def with_exemplars(rows: DataFrame, seeds: DataFrame, labels: DataFrame, count: int) -> DataFrame:
    """PLAN rows with `doc_id` and `text` of their seed, SEED rows and their ANNOTATION rows (both unique by seed_id) ->
    the same rows with `exemplars`, array of struct(seed_id, doc_id, question, choices, answer), at most `count`.

    They are of the row's language and broad field, with options where the row asks for options; see _candidates for
    which come first.
    """
    rows = rows.withColumn("has_choices", is_multiple_choice())
    cells = rows.select(*_CELL).distinct()
    found = F.broadcast(_candidates(cells, _pool(seeds, labels)))  # unique by _CELL: disciplines x grades at most
    joined = rows.join(found, list(_CELL), "left")
    return joined.withColumn("exemplars", _drawn(count)).drop("has_choices", "candidates")
