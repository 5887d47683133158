"""seed, annotation, budget -> slots, plan. Grains: one question that a seed bears; one synthesis request. Key: plan_id.

Deterministic: every choice is a hash of the seed and the question's place in it, so that one more seed moves no other
request. A cell exists where a strategy serves it: multi_grade serves STEM disciplines at every grade, high_difficulty
every discipline at H4 and H5. What it does not know: how many tokens a cell is to give, and why (budget).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Plan
from boostqa.lookup import literal_map
from boostqa.schemas import PLAN
from boostqa.stages import bearing as bears
from boostqa.taxonomy import is_stem
from boostqa.vocabulary import GRADES, HIGH_GRADES, Strategy
from boostqa.yields import LEVELS, estimates


def slots(labelled: DataFrame, conf: Plan) -> DataFrame:
    """Annotated seeds [seed_id, lang, discipline, difficulty, tokens, text] (unique by seed_id) -> PLAN columns without
    plan_id, and `formats`: a row for each question that a seed bears (stages/bearing.py), with the strategy, format and
    lever that its hash draws.

    The grades that it bears, and at which a strategy serves its discipline, take turns from one that its hash draws; so a
    question belongs to one cell, and what the cells of a seed may give together is never counted twice.
    """
    rows = labelled.withColumn("quantities", bears.has_quantities(F.col("text"))).drop("text")
    offered = []
    for grade in map(F.lit, GRADES):
        formats = bears.formats(grade, conf)
        borne = _served(grade) & bears.bears_grade(grade) & (F.size(formats) > 0)
        offered.append(F.when(borne, F.struct(grade.alias("grade"), formats.alias("formats"))))
    rows = rows.withColumn("grades", F.array_compact(F.array(*offered))).where(F.size("grades") > 0)
    last = bears.questions(F.col("grades"), conf) - 1
    rows = rows.withColumn("slot", F.explode(F.sequence(F.lit(0), last)))
    turns = F.size("grades")
    turn = F.pmod(F.pmod(F.xxhash64("seed_id", F.lit("grade")), turns) + F.col("slot"), turns)
    cell = F.get("grades", turn.cast("int"))
    index = F.floor(F.col("slot") / turns).cast("int").alias("sample_index")
    rows = rows.select(
        "seed_id", "lang", "discipline", cell["grade"].alias("grade"), index, cell["formats"].alias("formats")
    )
    rows = rows.withColumns({"strategy": _strategy(), "format": _pick_by_hash(F.col("formats"), "format")})
    lever = F.when(F.col("strategy") == Strategy.HIGH_DIFFICULTY, _pick_by_hash(bears.levers(), "lever"))
    return rows.withColumn("lever", lever)


def with_yields(slots: DataFrame, measured: Iterable[Mapping[str, Any]], guess: float) -> DataFrame:
    """`slots` with `kept`, the tokens that each leaves in the mix as far as `measured` tells (yields.estimates): those of its
    kind, or of the nearest one above it that was measured."""
    found = estimates(measured, guess)  # a few hundred kinds
    known = literal_map({"/".join(kind): kept for kind, kept in found.items()}, "double")
    kinds = (F.concat_ws("/", *LEVELS[:depth]) for depth in range(len(LEVELS), -1, -1))
    return slots.withColumn("kept", F.coalesce(*(F.try_element_at(known, kind) for kind in kinds)))


def unused(slots: DataFrame, planned: DataFrame) -> DataFrame:
    """`slots` less those that PLAN rows of earlier rounds have taken."""
    return slots.join(
        planned.select("seed_id", "grade", "sample_index"), ["seed_id", "grade", "sample_index"], "left_anti"
    )


def _served(grade: Column) -> Column:
    """Whether a strategy serves a row's discipline at `grade`."""
    return is_stem(F.col("discipline")) | grade.isin(*HIGH_GRADES)


def cells(labelled: DataFrame, slots: DataFrame) -> DataFrame:
    """Annotated seeds [seed_id, discipline] and their `slots` with yields -> [discipline, difficulty, seeds, bearing_seeds,
    questions, kept_per_request (null without a question)], a row for each cell of a discipline with seeds."""
    supply = labelled.groupBy("discipline").agg(F.count("*").alias("seeds"))
    grades = F.explode(F.array(*map(F.lit, GRADES))).alias("difficulty")
    all_cells = supply.select("*", grades).where(_served(F.col("difficulty")))
    borne = slots.groupBy("discipline", F.col("grade").alias("difficulty")).agg(
        F.count_distinct("seed_id").alias("bearing_seeds"),
        F.count("*").alias("questions"),
        F.avg("kept").alias("kept_per_request"),
    )
    joined = all_cells.join(borne, ["discipline", "difficulty"], "left")  # both unique
    return joined.fillna(0, ["bearing_seeds", "questions"])


def _pick_by_hash(options: Column, salt: str) -> Column:
    """One element of an array, by the hash of seed, grade, sample index and salt; null of an empty array."""
    number = F.pmod(F.xxhash64("seed_id", "grade", "sample_index", F.lit(salt)), F.nullif(F.size(options), F.lit(0)))
    return F.get(options, number.cast("int"))


def _strategy() -> Column:
    """high_difficulty outside STEM, multi_grade at low grades, one of the two at high grades of STEM."""
    either = _pick_by_hash(F.array(F.lit(Strategy.MULTI_GRADE), F.lit(Strategy.HIGH_DIFFICULTY)), "strategy")
    stem = F.when(F.col("grade").isin(*HIGH_GRADES), either).otherwise(Strategy.MULTI_GRADE)
    return F.when(is_stem(F.col("discipline")), stem).otherwise(Strategy.HIGH_DIFFICULTY)


def plan(budget: DataFrame, slots: DataFrame) -> DataFrame:
    """BUDGET rows and what the seeds bear -> PLAN rows, as many per cell as its `requests`: every seed once before any
    seed twice, in hash order."""
    cells = budget.where("requests > 0").select("discipline", F.col("difficulty").alias("grade"), "requests")
    drawn = slots.join(cells, ["discipline", "grade"], "inner")  # cells: unique
    order = Window.partitionBy("discipline", "grade").orderBy("sample_index", F.xxhash64("seed_id", "grade"), "seed_id")
    drawn = drawn.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= F.col("requests"))
    identity = F.to_json(F.struct("seed_id", "strategy", "grade", "format", "lever", "sample_index"))
    return drawn.withColumn("plan_id", F.sha2(identity, 256)).select(*PLAN.schema.names)
