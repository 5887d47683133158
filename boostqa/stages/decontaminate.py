"""items, benchmarks -> contamination: every benchmark item whose text stands in an item.

Grain: one match between a field of an item and a benchmark item. Key: draft_id, field, benchmark, benchmark_item.
Nothing disappears here, the caller drops. What it does not know: paraphrases, translations, and texts shorter than one
window that stand inside a longer one.

Every field becomes keys, and equal keys are a match: each run of `ngram_words` words (13 as in Brown et al., "Language
Models are Few-Shot Learners", 2020, appendix C), each window of `window_characters` characters where Chinese or
Japanese dominates, a shorter text as a whole, the set of options, and question and options together. Keys of a whole, a
set and an item begin with a mark of their own, so that they match their own kind only. Options are compared without
their letters, wherever they stand (wording.separated).
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Clean
from boostqa.matching_text import cjk_characters, folded, grams, is_cjk
from boostqa.schemas import CONTAMINATION
from boostqa.stages.wording import separated
from boostqa.vocabulary import MatchedField, MatchKind

_WHOLE, _SET, _ITEM = "\x01", "\x02", "\x03"  # no normalised text holds them
_MARKS = f"[{_WHOLE}{_SET}{_ITEM}]"
_MIN_WORDS, _MIN_CHARACTERS = 4, 8  # of a text that matches as a whole
_MIN_OPTIONS, _MIN_OPTION_LETTERS = 3, 12  # of a set of options, together
_MIN_ITEM_CHARACTERS = 16  # of question and options together
_MANY_ITEMS = 10  # the limit of Brown et al. for windows that tell no leak
_FEWEST_ITEMS, _STOCK_SHARE = 3, 0.2  # of a small benchmark: an instruction, not the items of one template
_MATCH_CHARACTERS = 200


def _windows(text: Column, conf: Clean) -> Column:
    """Runs of words, or of characters at least half of which are Chinese or Japanese: formulas alone tell no leak."""
    every = grams(text, conf.ngram_words, conf.window_characters)
    prose = F.filter(every, lambda window: cjk_characters(window) * 2 >= conf.window_characters)
    return F.when(is_cjk(text), prose).otherwise(every)


def _whole(text: Column) -> Column:
    """The text itself where it is long enough to mean something."""
    spaces = F.length(F.regexp_replace(text, "[^ ]+", ""))
    long_enough = F.when(is_cjk(text), F.length(text) - spaces >= _MIN_CHARACTERS).otherwise(spaces + 1 >= _MIN_WORDS)
    return F.when(long_enough, F.array(F.concat(F.lit(_WHOLE), text))).otherwise(F.array())


def _options(choices: Column) -> Column:
    """The options in an order of their own, as one text."""
    folded_options = F.transform(choices, lambda c: F.replace(folded(c), F.lit(" ")))
    return F.array_join(F.array_sort(F.array_distinct(folded_options)), "|")


def _set(choices: Column, options: Column) -> Column:
    """The options; a few letters or numbers only would equal those of unrelated items."""
    letters = F.length(F.regexp_replace(options, r"\P{L}+", ""))
    enough = (F.size(F.array_distinct(choices)) >= _MIN_OPTIONS) & (letters >= _MIN_OPTION_LETTERS)
    return F.when(enough, F.array(F.concat(F.lit(_SET), options))).otherwise(F.array())


def _item(question: Column, choices: Column, options: Column) -> Column:
    """Question and options as one key: it tells a short question apart that others share."""
    whole = (F.size(choices) > 1) & (F.length(question) + F.length(options) >= _MIN_ITEM_CHARACTERS)
    return F.when(whole, F.array(F.concat(F.lit(_ITEM), question, F.lit("|"), options))).otherwise(F.array())


def _keys(rows: DataFrame, conf: Clean, ids: list[str], fields: list[str]) -> DataFrame:
    """`rows` -> [*ids, field, position, key]; `choices` is one field, its options joined."""
    parts = separated(F.col("question"), F.col("choices"))
    rows = rows.withColumn("parts", parts).withColumns({c: F.col("parts")[c] for c in ("question", "choices")})
    texts = {f"folded_{f}": folded(F.array_join(f, " ") if f == "choices" else F.col(f)) for f in fields}
    rows = rows.withColumns({"options": _options(F.col("choices")), **texts})  # folded once: it is what costs
    none = F.lit(None).cast("array<string>")
    own = {
        "choices": _set(F.col("choices"), F.col("options")),
        "question": _item(F.col("folded_question"), F.col("choices"), F.col("options")),
    }
    structs = [
        F.struct(F.lit(f).alias("field"), F.col(f"folded_{f}").alias("text"), own.get(f, none).alias("own"))
        for f in fields
    ]
    each = rows.select(*ids, F.inline(F.array(*structs))).withColumn("windows", _windows(F.col("text"), conf))
    whole = F.when(F.size("windows") == 0, _whole(F.col("text"))).otherwise(F.array())
    keys = F.concat("windows", whole, F.coalesce("own", F.array()))
    return each.select(*ids, "field", F.posexplode(keys).alias("position", "key"))


def _benchmark_keys(benchmarks: DataFrame, conf: Clean) -> DataFrame:
    """[benchmark, benchmark_item, key] without stock phrases ("Which of the following is true?"), which tell no leak.

    A whole or a set is one when differing items of a benchmark share it; a window when more than _MANY_ITEMS do, so that
    it never matches more items than that, or a substantial share of a small benchmark: a common instruction.
    """
    content = {"benchmark_item": F.col("item_id"), "item": F.xxhash64("question", "choices")}
    items = benchmarks.withColumns(content)
    sizes = items.groupBy("benchmark").agg(F.countDistinct("item").alias("size"))  # unique by benchmark
    every = _keys(items, conf, ["benchmark", *content], ["question", "choices", "answer"])
    every = every.where(~F.col("key").startswith(_WHOLE) | (F.col("field") == "question"))
    sharing = Window.partitionBy("benchmark", "key")
    differing = F.size(F.collect_set("item").over(sharing))
    shared = every.withColumn("sharing", differing).join(F.broadcast(sizes), on="benchmark", how="inner")
    common = (F.col("sharing") >= _FEWEST_ITEMS) & (F.col("sharing") >= F.col("size") * _STOCK_SHARE)
    window = ~F.col("key").rlike(f"^{_MARKS}")
    stock = F.when(window, common | (F.col("sharing") > _MANY_ITEMS)).otherwise(F.col("sharing") > 1)
    return shared.where(~stock).select("benchmark", "benchmark_item", "key")


def evidence(contamination: DataFrame) -> DataFrame:
    """CONTAMINATION rows -> [draft_id, evidence], unique by draft_id: the first match of each item in words,
    "benchmark/benchmark item field: match"."""
    words = F.concat(F.concat_ws("/", "benchmark", "benchmark_item"), F.lit(" "), "field", F.lit(": "), "match")
    return contamination.groupBy("draft_id").agg(F.min(words).alias("evidence"))


def matches(items: DataFrame, benchmarks: DataFrame, conf: Clean) -> DataFrame:
    """[draft_id, source, generator, question, choices, answer, passage] and
    [benchmark, item_id, question, choices, answer] -> CONTAMINATION rows.

    Each field of an item is compared with the question, the joined options and the answer of each benchmark item; an
    answer there counts only from one full window on. `match` is the first matching key by position, up to 200
    characters.
    """
    ours = _keys(items, conf, ["draft_id", "source", "generator"], list(MatchedField))
    theirs = _benchmark_keys(benchmarks, conf)
    # The items are what scales: only hashes of the benchmarks, the smaller side, travel to them (8 bytes per window, no
    # shuffle of items). The few windows that remain then meet the benchmarks' text, which also settles equal hashes.
    hashes = theirs.select(F.xxhash64("key").alias("hash"))
    suspects = ours.withColumn("hash", F.xxhash64("key")).join(F.broadcast(hashes), on="hash", how="left_semi")
    found = suspects.join(theirs, on="key", how="inner")  # many to many: a window may stand in several items
    first = F.regexp_replace(F.min_by("key", "position"), f"^{_MARKS}", "")
    return (
        found.groupBy("draft_id", "field", "benchmark", "benchmark_item", "source", "generator")
        .agg(F.substring(first, 1, _MATCH_CHARACTERS).alias("match"))
        .withColumns({"kind": F.lit(MatchKind.VERBATIM), "score": F.lit(1.0)})
        .withColumns({"item_text": F.col("match"), "benchmark_text": F.col("match")})
        .select(*CONTAMINATION.schema.names)
    )


def leaked_seeds(seeds: DataFrame, benchmarks: DataFrame, conf: Clean) -> DataFrame:
    """SEED rows that share text with a benchmark -> [seed_id, evidence], unique by seed_id.

    Generating from such a seed would be paid for and then thrown away by `clean`.
    """
    no = F.lit(None).cast("string")
    items = seeds.select(
        F.col("seed_id").alias("draft_id"), "source", F.lit("").alias("generator"),
        "question", "choices", no.alias("answer"), F.col("text").alias("passage"),
    )  # fmt: skip
    return evidence(matches(items, benchmarks, conf)).withColumnRenamed("draft_id", "seed_id")
