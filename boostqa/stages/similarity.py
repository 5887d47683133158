"""items, benchmarks -> pairs of questions that are close: other numbers, other names, other words here and there.

Grain: one item and one benchmark item. Key: draft_id, benchmark, benchmark_item. What it does not know: paraphrases that
keep fewer than about seven of ten words, translations, questions of fewer than five words that tell something.

A question with its options becomes the sequence of its telling units: words that are neither numbers nor names nor
function words, cut to six letters, or Chinese and Japanese characters. Names are words that begin with a capital letter,
so the first word of a sentence goes, too, on both sides. The score of two questions is the Jaccard similarity of their
pairs of units at most three places apart, in either order: a changed word costs six pairs, a moved sentence those at its
ends. It is computed for the questions that share one of the runs of units by which the benchmarks are indexed.
The lowest score that counts is `clean.min_similarity`; what 0.3 finds and does not is in the README.
"""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.formulas import let
from boostqa.matching_text import folded, is_cjk, units
from boostqa.stages.wording import separated

_NAME = r"(?<![\\\p{L}])\p{Lu}\p{Ll}+"
_OTHER_SIGNS = r"[^\p{L}\p{M}\p{Sm}^*/|(){}\[\]! -]+"  # numbers, currencies: neither letters nor operators
_FUNCTION_WORDS = (
    "a an the of to in on at for and or is are was were be been by with from as that this these those it its he his "
    "she her him they their them i you your we if then than how many much what which who when where why does do did has "
    "have had will would can could should there each every all some any no not so into out up per one more most after before "
    "but two three four five six seven eight nine ten eleven twelve twenty thirty hundred thousand"
)
_STEM = 6  # letters of a word that count: an inflected word is the same word
_REACH = 3  # places between the units of a pair
_RUN_WORDS, _RUN_CHARACTERS = 3, 6  # of a key
_KEYS = 24  # of a question: those with the smallest hashes
_MANY_SHAPES = 10  # a run that more benchmark items share tells nothing, as in decontaminate
# Of questions that differ in numbers and names only, and pairs that others have to share: "Sam is older than Tom".
_FEWEST_UNITS, _FEWEST_PAIRS = 5, 12


def _telling_units(question: Column, choices: Column) -> Column:
    """array<string>: the units of question and options that tell what is asked, in order."""
    item = separated(question, choices)
    text = F.concat_ws("\n", item["question"], F.array_join(item["choices"], "\n"))
    told = F.trim(F.regexp_replace(folded(F.regexp_replace(text, _NAME, " ")), _OTHER_SIGNS, ""))
    telling = F.filter(let(told, units), lambda unit: (unit != "") & ~unit.isin(_FUNCTION_WORDS.split()))
    return F.transform(telling, lambda unit: F.left(unit, F.lit(_STEM)))


def _at_each(all_units: Column, size: int, value: Callable[[Column], Column]) -> Column:
    """`value(index)` for each 0-based index at which a run of `size` units begins."""
    starts = F.slice(all_units, F.lit(1), F.greatest(F.size(all_units) - size + 1, F.lit(0)))
    return F.transform(starts, lambda _, i: value(i))


def _keys(all_units: Column) -> Column:
    """array<long>: hashes of all units together, and of runs of units, whatever their order inside a run: of these at most
    _KEYS, the smallest. Null for too few units."""

    def runs(size: int) -> Column:
        return _at_each(all_units, size, lambda i: F.xxhash64(F.array_sort(F.slice(all_units, i + 1, size))))

    of_characters = is_cjk(F.array_join(all_units, " "))
    every = F.when(of_characters, runs(_RUN_CHARACTERS)).otherwise(runs(_RUN_WORDS))
    some = F.slice(F.array_sort(F.array_distinct(every)), 1, _KEYS)
    return F.when(F.size(all_units) >= _FEWEST_UNITS, F.array_append(some, F.xxhash64(all_units)))


def _pairs(all_units: Column) -> Column:
    """array<long>: hashes of the pairs of units at most _REACH places apart, each once."""

    def apart(distance: int) -> Column:
        def pair(i: Column) -> Column:
            one, other = all_units[i], all_units[i + distance]
            return F.xxhash64(F.least(one, other), F.greatest(one, other))

        return _at_each(all_units, distance + 1, pair)

    return F.array_distinct(F.flatten(F.array(*map(apart, range(1, _REACH + 1)))))


def _shapes(rows: DataFrame, ids: list[str]) -> DataFrame:
    """[*ids, units, keys] of rows with a question and options; none of a row that has no key."""

    def shape(all_units: Column) -> Column:
        return F.struct(all_units.alias("units"), _keys(all_units).alias("keys"))

    told = F.array(_telling_units(F.col("question"), F.col("choices")))
    return rows.select(*ids, F.inline(F.transform(told, shape))).where(F.col("keys").isNotNull())


def index(benchmarks: DataFrame) -> DataFrame:
    """[benchmark, item_id, question, choices, ...] -> [benchmark, item_id, units, unit_keys], unique by the first two.

    Of items of a benchmark that differ in numbers and names only, the one with the smallest id stands for all.
    """
    shapes = _shapes(benchmarks, ["benchmark", "item_id"])
    return shapes.groupBy("benchmark", "units").agg(F.min("item_id").alias("item_id"), F.min("keys").alias("unit_keys"))


def similar(items: DataFrame, index: DataFrame, least: float) -> DataFrame:
    """[draft_id, question, choices, ...] and `index` of benchmarks, alone or in HELD_OUT rows (read twice: the caller
    persists it) -> [draft_id, benchmark, benchmark_item, score, match], score from `least` on.

    `match` is the units that both have, in the order of the item.
    """
    index = index.withColumn("node", F.xxhash64("benchmark", "item_id"))
    each = index.select("benchmark", "node", F.explode("unit_keys").alias("key"))
    sharing = F.count("*").over(Window.partitionBy("benchmark", "key"))
    telling = each.withColumn("sharing", sharing).where(F.col("sharing") <= _MANY_SHAPES).select("key", "node")
    ours = _shapes(items, ["draft_id"]).select("draft_id", "units", F.explode("keys").alias("key"))
    # The items are what scales: they are not shuffled, the index travels to them (24 keys of a benchmark item at most).
    suspects = ours.join(F.broadcast(telling), on="key", how="inner").select("draft_id", "units", "node")
    of_item = F.col("item_id").alias("benchmark_item")
    theirs = index.select("node", "benchmark", of_item, F.col("units").alias("their_units"))
    pairs = suspects.join(theirs, on="node", how="inner")  # index: unique by node

    def judged(ours: Column, theirs: Column) -> Column:
        shared = F.size(F.array_intersect(ours, theirs))
        return F.struct(shared.alias("shared"), (shared / F.size(F.array_union(ours, theirs))).alias("score"))

    judgement = let(_pairs(F.col("units")), lambda a: let(_pairs(F.col("their_units")), lambda b: judged(a, b)))
    match = F.array_join(F.filter("units", lambda unit: F.array_contains("their_units", unit)), " ")
    scored = pairs.select(
        "draft_id",
        "benchmark",
        "benchmark_item",
        judgement.alias("judged"),
        match.alias("match"),
        (F.col("units") == F.col("their_units")).alias("equal"),
    )
    enough = (F.col("judged.shared") >= _FEWEST_PAIRS) | F.col("equal")
    close = scored.where(enough & (F.col("judged.score") >= least))
    by = close.groupBy("draft_id", "benchmark", "benchmark_item")
    return by.agg(F.max("judged.score").alias("score"), F.min("match").alias("match"))
