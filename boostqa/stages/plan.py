"""seed, annotation, probe -> budget, plan. Grains: one cell; one synthesis request. Keys: (discipline, difficulty);
plan_id.

Turns deficits into tokens per cell and tokens into requests. Deterministic: every choice is a hash. A cell exists
where a strategy serves it: multi_grade serves STEM disciplines at every grade, high_difficulty every discipline at H4
and H5. The cells of a discipline without seeds do not appear.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Plan
from boostqa.schemas import BUDGET, PLAN
from boostqa.stages import bearing as bears
from boostqa.taxonomy import broad_field, is_stem
from boostqa.vocabulary import GRADES, HIGH_GRADES, Strategy


def _pooled(probe: DataFrame, *by: str) -> DataFrame:
    """Accuracy over all methods and items of a level, with its chance."""
    items = F.sum("items")
    return probe.groupBy(*by).agg(
        items.alias("items"),
        (F.sum("correct") / items).alias("accuracy"),
        (F.sum(F.col("chance") * F.col("items")) / items).alias("chance"),
    )


def _with_accuracy(cells: DataFrame, probe: DataFrame, enough: int) -> DataFrame:
    """Cells with the accuracy of the narrowest level that has `enough` scored items: cell, broad field, all."""
    probe = probe.withColumn("broad", broad_field(F.col("discipline")))
    levels = {
        "cell": (_pooled(probe, "discipline", "difficulty"), ["discipline", "difficulty"]),
        "broad_field": (_pooled(probe, "broad"), ["broad"]),
        "all": (_pooled(probe.withColumn("one", F.lit(1)), "one"), ["one"]),
    }
    cells = cells.withColumns({"broad": broad_field(F.col("discipline")), "one": F.lit(1)})
    for name, (level, keys) in levels.items():  # each level is unique by its keys
        found = F.struct(F.lit(name).alias("accuracy_from"), "accuracy", "chance")
        cells = cells.join(level.where(F.col("items") >= enough).select(*keys, found.alias(name)), keys, "left")
    used = F.coalesce(*levels)
    return cells.withColumns({c: used[c] for c in ("accuracy_from", "accuracy", "chance")})


def bearing(labelled: DataFrame, conf: Plan) -> DataFrame:
    """Annotated seeds [seed_id, lang, discipline, difficulty, tokens, text] (unique by seed_id) -> [seed_id, lang,
    discipline, grade, formats, questions]: a row for each grade at which a strategy serves the seed's discipline and the
    seed bears a question (stages/bearing.py)."""
    rows = labelled.withColumn("quantities", bears.has_quantities(F.col("text"))).drop("text")
    rows = rows.withColumn("grade", F.explode(F.array(*map(F.lit, GRADES))))
    rows = rows.where(_served(F.col("grade")) & bears.bears_grade(F.col("grade")))
    rows = rows.withColumns({"formats": bears.formats(F.col("grade"), conf), "questions": bears.questions(conf)})
    return rows.where(F.size("formats") > 0).select("seed_id", "lang", "discipline", "grade", "formats", "questions")


def _served(grade: Column) -> Column:
    """Whether a strategy serves a row's discipline at `grade`."""
    return is_stem(F.col("discipline")) | grade.isin(*HIGH_GRADES)


def budget(labelled: DataFrame, borne: DataFrame, probe: DataFrame, conf: Plan) -> DataFrame:
    """Annotated seeds [seed_id, discipline], what `bearing` says of them, and the PROBE rows of one checkpoint -> BUDGET
    rows.

    deficit = 1 - (accuracy - chance) / (1 - chance), clipped to 0..1, and 1 where nothing was probed; weight = deficit
    x stem_factor x supply_factor inside each side of high difficulty. The floor lifts, the capacity (questions that the
    cell's seeds bear x kept_tokens_per_request) caps; tokens over the capacity are not moved to other cells, so that a
    cell without a bearing seed shows what it lost: it has a weight and no tokens.
    """
    supply = labelled.groupBy("discipline").agg(F.count("*").alias("seeds"))
    cells = supply.crossJoin(
        supply.sparkSession.range(1).select(F.explode(F.array(*map(F.lit, GRADES))).alias("difficulty"))
    )
    borne_by = borne.groupBy("discipline", F.col("grade").alias("difficulty")).agg(
        F.count("*").alias("bearing_seeds"), F.sum("questions").alias("questions")
    )
    cells = cells.where(_served(F.col("difficulty"))).join(borne_by, ["discipline", "difficulty"], "left")  # unique
    cells = cells.fillna(0, ["bearing_seeds", "questions"])
    high = F.col("difficulty").isin(*HIGH_GRADES)
    cells = _with_accuracy(cells, probe, conf.min_probe_items)
    above_chance = (F.col("accuracy") - F.col("chance")) / (1 - F.col("chance"))
    deficit = F.least(F.lit(1.0), F.greatest(F.lit(0.0), 1 - above_chance))
    total = supply.select(F.sum("seeds").alias("all_seeds"))
    cells = cells.crossJoin(total).withColumns(
        {
            "deficit": F.when(F.col("accuracy").isNull(), 1.0).otherwise(deficit),  # greatest() would skip a null
            "stem_factor": F.when(is_stem(F.col("discipline")), conf.stem_boost).otherwise(1.0),
            "supply_factor": F.sqrt(F.col("seeds") / F.col("all_seeds")),
            "difficulty_share": F.when(high, conf.high_difficulty_share).otherwise(1 - conf.high_difficulty_share),
        }
    )
    # Decimal: a sum of doubles depends on the order of rows, and its last bit could move a request.
    raw = (F.col("deficit") * F.col("stem_factor") * F.col("supply_factor")).cast("decimal(20,12)")
    side = Window.partitionBy(high)
    weight = F.when(F.sum(raw).over(side) > 0, (raw / F.sum(raw).over(side)).cast("double")).otherwise(0.0)
    capacity = F.col("questions") * conf.kept_tokens_per_request
    wanted = F.ceil(conf.tokens * F.col("difficulty_share") * F.col("weight"))
    cells = cells.withColumn("weight", weight)
    cells = cells.withColumn("tokens", F.least(capacity, F.greatest(F.lit(conf.floor_tokens), wanted)))
    requests = F.ceil(F.col("tokens") / conf.kept_tokens_per_request)
    return cells.withColumn("requests", requests).select(*BUDGET.schema.names)


def _pick_by_hash(options: Column, salt: str) -> Column:
    """One element of an array, by the hash of seed, grade, sample index and salt; null of an empty array."""
    number = F.pmod(F.xxhash64("seed_id", "grade", "sample_index", F.lit(salt)), F.nullif(F.size(options), F.lit(0)))
    return F.get(options, number.cast("int"))


def _strategy() -> Column:
    """high_difficulty outside STEM, multi_grade at low grades, the two in turn (by `rank`) at high grades of STEM."""
    in_turn = F.when(F.col("rank") % 2 == 0, Strategy.MULTI_GRADE).otherwise(Strategy.HIGH_DIFFICULTY)
    stem = F.when(F.col("grade").isin(*HIGH_GRADES), in_turn).otherwise(Strategy.MULTI_GRADE)
    return F.when(is_stem(F.col("discipline")), stem).otherwise(Strategy.HIGH_DIFFICULTY)


def plan(budget: DataFrame, borne: DataFrame, conf: Plan) -> DataFrame:
    """BUDGET rows and what `bearing` says of the seeds -> PLAN rows, as many per cell as its `requests`: every seed once
    before any seed twice, in hash order."""
    cells = budget.where("requests > 0").select("discipline", F.col("difficulty").alias("grade"), "requests")
    samples = F.explode(F.sequence(F.lit(0), F.col("questions") - 1)).alias("sample_index")
    drawn = borne.join(cells, ["discipline", "grade"], "inner").select("*", samples)  # cells: unique
    order = Window.partitionBy("discipline", "grade").orderBy("sample_index", F.xxhash64("seed_id", "grade"), "seed_id")
    drawn = drawn.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= F.col("requests"))
    drawn = drawn.withColumns({"strategy": _strategy(), "format": _pick_by_hash(F.col("formats"), "format")})
    lever = _pick_by_hash(bears.levers(), "lever")
    drawn = drawn.withColumn("lever", F.when(F.col("strategy") == Strategy.HIGH_DIFFICULTY, lever))
    identity = F.to_json(F.struct("seed_id", "strategy", "grade", "format", "lever", "sample_index"))
    return drawn.withColumn("plan_id", F.sha2(identity, 256)).select(*PLAN.schema.names)
