"""refined, seed, held_out -> clean, contamination, rejects. Grain: one item. Key: draft_id.

Four steps, because the result of each is read more than once by the next; the caller stores it in between:
    unfit = rejects_of_unfit(refined, seeds, conf)                                 # persist
    rejected = rejects_with_duplicates(refined, unfit, seeds, earlier, conf)          # persist: MinHash
    contamination = contaminate(refined, rejected, seeds, held_out, conf)   # write and read back: n-grams
    rows, rest = clean(refined, rejected, contamination, seeds, tokenizer)    # all rejects: rejected and rest

What may disappear: items that a named rule finds unfit, duplicates among drafts, of seeds and of items of earlier
rounds, items that share text with a benchmark, those whose seed was withdrawn; each is rejected once, for the first
reason in this order. What it does not know: whether a question is right, and paraphrases.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Clean
from boostqa.schemas import CLEAN
from boostqa.stages import decontaminate, deduplicate, fitness, fluency, rubric
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.stages.wording import rendered, separated
from boostqa.vocabulary import Cause, MatchKind

CONTAMINATED = Rule("contaminated", Cause.CONTAMINATION)
SIMILAR_TO_BENCHMARK = Rule("similar_to_benchmark", Cause.CONTAMINATION)
SEED_WITHDRAWN = Rule("seed_withdrawn", Cause.RULE)
RULES = (
    *fitness.RULES,
    *fluency.RULES,
    *rubric.RULES,
    *deduplicate.RULES,
    CONTAMINATED,
    SIMILAR_TO_BENCHMARK,
    SEED_WITHDRAWN,
)


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


def rejects_with_duplicates(
    refined: DataFrame, unfit: DataFrame, seeds: DataFrame, earlier: DataFrame, conf: Clean
) -> DataFrame:
    """REFINED rows, rejects of `rejects_of_unfit`, SEED rows, CLEAN rows of earlier rounds -> the rejects so far: `unfit`,
    then `exact_duplicate` among drafts and of earlier ones, then `near_duplicate` and `near_duplicate_of_seed`, whose
    evidence is the keeper's id.

    Drafts are compared by question and options, with seeds by theirs, or by the text of a seed without a question.
    The caller persists `unfit` before, which is read six times here, and the result after.
    """
    fit = _without(refined, unfit)
    drafts, made = (
        rows.select(F.col("draft_id").alias("item_id"), _comparable().alias("text")) for rows in (fit, earlier)
    )
    twins = deduplicate.exact(drafts, made)
    text = F.when(F.col("question").isNull(), F.col("text")).otherwise(_comparable())
    of_seeds = seeds.select(F.col("seed_id").alias("item_id"), text.alias("text"))
    singles = drafts.join(twins, on="item_id", how="left_anti")  # twins: unique by item_id
    kinds = (
        (singles, False, deduplicate.NEAR_DUPLICATE),
        (made, True, deduplicate.NEAR_DUPLICATE),
        (of_seeds, True, deduplicate.NEAR_DUPLICATE_OF_SEED),
    )
    items = [rows.withColumns({"known": F.lit(known), "rule": F.lit(r.name)}) for rows, known, r in kinds]
    near = deduplicate.near(reduce(DataFrame.unionByName, items), conf.minhash)
    broken_rule = F.struct("rule", F.col("keeper_id").alias("evidence")).alias("broken_rule")
    duplicates = twins.unionByName(near).select(F.col("item_id").alias("draft_id"), broken_rule)
    return unfit.unionByName(_rejects(duplicates))


def _without(refined: DataFrame, rejected: DataFrame) -> DataFrame:
    return refined.join(rejected.select(F.col("key").alias("draft_id")), on="draft_id", how="left_anti")


def contaminate(
    refined: DataFrame, rejected: DataFrame, seeds: DataFrame, held_out: DataFrame, conf: Clean
) -> DataFrame:
    """REFINED rows that are not `rejected` yet (result of `rejects_with_duplicates`) -> CONTAMINATION rows against
    HELD_OUT rows; the passage of an item is its seed's text. The caller writes the result before `clean`.
    """
    passages = seeds.select("seed_id", "source", F.col("text").alias("passage"))
    items = _without(refined, rejected).join(passages, on="seed_id", how="left")  # seeds: unique by seed_id
    return decontaminate.matches(items, held_out, conf)


def clean(
    refined: DataFrame, rejected: DataFrame, contamination: DataFrame, seeds: DataFrame, tokenizer_json: str
) -> tuple[DataFrame, DataFrame]:
    """REFINED rows less those `rejected` (result of `rejects_with_duplicates`) and those of `contamination`
    (CONTAMINATION rows) -> (CLEAN rows, rejects `contaminated`, `similar_to_benchmark` and `seed_withdrawn`); all rejects of
    the stage are `rejected` and these.

    Source, licence and attribution come from the seed: an item whose seed is not among the seeds any more cannot say where
    it comes from. `tokens` are counted as in the mix.
    """
    leaks = decontaminate.evidence(contamination)  # unique by draft_id
    left = _without(refined, rejected).join(leaks, on="draft_id", how="left")
    leak, kind = F.col("evidence"), F.col("kind")
    similar = F.when(kind == MatchKind.SIMILAR, breaks_rule(SIMILAR_TO_BENCHMARK, leak))
    origin = seeds.select("seed_id", "source", "licence", "attribution")
    left = left.join(origin, on="seed_id", how="left")  # seeds: unique by seed_id
    withdrawn = F.when(F.col("source").isNull(), breaks_rule(SEED_WITHDRAWN, F.col("seed_id")))
    contaminated = similar.when(kind == MatchKind.VERBATIM, breaks_rule(CONTAMINATED, leak))
    left = left.withColumn("broken_rule", F.coalesce(contaminated, withdrawn))
    rows = left.where("broken_rule is null").withColumn("tokens", rendered(tokenizer_json)["tokens"])
    return rows.select(*CLEAN.schema.names), _rejects(left)
