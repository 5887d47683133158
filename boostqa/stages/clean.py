"""refined, seed, benchmarks -> clean, contamination, rejects. Grain: one item. Key: draft_id.

Four steps, because the result of each is read more than once by the next; the caller stores it in between:
    unfit = rejects_of_unfit(refined, seeds, conf)                                 # persist
    rejected = rejects_with_duplicates(refined, unfit, seeds, conf)                   # persist: MinHash
    contamination = contaminate(refined, rejected, seeds, benchmarks, index, conf)   # write and read back: n-grams
    rows, contaminated = clean(refined, rejected, contamination, seeds)       # all rejects: rejected and contaminated

What may disappear: items that a named rule finds unfit, duplicates among drafts and of seeds, items that share text
with a benchmark; each is rejected once, for the first reason in this order. What it does not know: whether a question
is right, and paraphrases.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Clean
from boostqa.schemas import CLEAN
from boostqa.stages import decontaminate, deduplicate, fitness, fluency
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.stages.wording import separated
from boostqa.vocabulary import Cause, MatchKind

CONTAMINATED = Rule("contaminated", Cause.CONTAMINATION)
SIMILAR_TO_BENCHMARK = Rule("similar_to_benchmark", Cause.CONTAMINATION)
RULES = (*fitness.RULES, *fluency.RULES, *deduplicate.RULES, CONTAMINATED, SIMILAR_TO_BENCHMARK)


def rejects_of_unfit(refined: DataFrame, seeds: DataFrame, conf: Clean) -> DataFrame:
    """REFINED rows, SEED rows -> rejects of those that break a rule of fitness.RULES, the first that applies."""
    return fitness.rejects(refined, seeds, conf, "clean")


def _rejects(rows: DataFrame) -> DataFrame:
    """REJECT rows without request_ids: what an item cost stands in its draft and refined rows."""
    return reject_rows(rows, "clean", "draft_id")


def _comparable() -> Column:
    """Question and options as one text; neither their order nor their letters make another item."""
    item = separated(F.col("question"), F.col("choices"))
    return F.concat_ws("\n", item["question"], F.array_sort(item["choices"]))


def rejects_with_duplicates(refined: DataFrame, unfit: DataFrame, seeds: DataFrame, conf: Clean) -> DataFrame:
    """REFINED rows, rejects of `rejects_of_unfit`, SEED rows -> the rejects so far: `unfit`, then `exact_duplicate`
    among drafts, then `near_duplicate` and `near_duplicate_of_seed`, whose evidence is the keeper's id.

    Drafts are compared by question and options, with seeds by theirs, or by the text of a seed without a question.
    The caller persists `unfit` before, which is read six times here, and the result after.
    """
    fit = _without(refined, unfit)
    drafts = fit.select(F.col("draft_id").alias("item_id"), _comparable().alias("text"), F.lit(False).alias("is_seed"))
    twins = deduplicate.exact(drafts)
    text = F.when(F.col("question").isNull(), F.col("text")).otherwise(_comparable())
    known = seeds.select(F.col("seed_id").alias("item_id"), text.alias("text"), F.lit(True).alias("is_seed"))
    singles = drafts.join(twins, on="item_id", how="left_anti")  # twins: unique by item_id
    near = deduplicate.near(singles.unionByName(known), conf.minhash)
    broken_rule = F.struct("rule", F.col("keeper_id").alias("evidence")).alias("broken_rule")
    duplicates = twins.unionByName(near).select(F.col("item_id").alias("draft_id"), broken_rule)
    return unfit.unionByName(_rejects(duplicates))


def _without(refined: DataFrame, rejected: DataFrame) -> DataFrame:
    return refined.join(rejected.select(F.col("key").alias("draft_id")), on="draft_id", how="left_anti")


def contaminate(
    refined: DataFrame, rejected: DataFrame, seeds: DataFrame, benchmarks: DataFrame, index: DataFrame, conf: Clean
) -> DataFrame:
    """REFINED rows that are not `rejected` yet (result of `rejects_with_duplicates`) -> CONTAMINATION rows against
    [benchmark, item_id, question, choices, answer] and similarity.index of these; the passage of an item is its seed's
    text.

    The caller persists `benchmarks` and `index` before, which are read twice here, and writes the result before `clean`.
    """
    passages = seeds.select("seed_id", "source", F.col("text").alias("passage"))
    items = _without(refined, rejected).join(passages, on="seed_id", how="left")  # seeds: unique by seed_id
    return decontaminate.matches(items, benchmarks, index, conf)


def clean(
    refined: DataFrame, rejected: DataFrame, contamination: DataFrame, seeds: DataFrame
) -> tuple[DataFrame, DataFrame]:
    """REFINED rows less those `rejected` (result of `rejects_with_duplicates`) and those of `contamination`
    (CONTAMINATION rows) -> (CLEAN rows, rejects `contaminated` and `similar_to_benchmark`); all rejects of the stage are `rejected` and these.

    Source, licence and attribution come from the seed; a seed_id without seed leaves them null, which the contract
    refuses.
    """
    leaks = decontaminate.evidence(contamination)  # unique by draft_id
    left = _without(refined, rejected).join(leaks, on="draft_id", how="left")
    leak, kind = F.col("evidence"), F.col("kind")
    similar = F.when(kind == MatchKind.SIMILAR, breaks_rule(SIMILAR_TO_BENCHMARK, leak))
    left = left.withColumn("broken_rule", similar.when(kind == MatchKind.VERBATIM, breaks_rule(CONTAMINATED, leak)))
    origin = seeds.select("seed_id", "source", "licence", "attribution")
    rows = left.where("broken_rule is null").join(origin, on="seed_id", how="left")  # seeds: unique by seed_id
    return rows.select(*CLEAN.schema.names), _rejects(left)
