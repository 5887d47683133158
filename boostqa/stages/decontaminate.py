"""items, benchmarks -> contamination: every benchmark item whose text stands in an item.

Grain: one match between a field of an item and a benchmark item. Key: draft_id, field, benchmark, benchmark_item. Nothing
disappears here: the caller drops. What it does not know: paraphrases, translations, texts shorter than one window inside
a longer one.

Every text becomes keys, and equal keys are a match: each run of `ngram_words` words (13 as in Brown et al., "Language
Models are Few-Shot Learners", 2020, appendix C), each window of `window_characters` characters where Chinese or Japanese
dominates, a question shorter than that as a whole, and the set of options. Keys of a whole and of a set begin with a mark
that no normalised text contains, so that they match their own kind only.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Clean
from boostqa.schemas import CONTAMINATION
from boostqa.stages.deduplicate import folded, grams, is_cjk

_FIELDS = ("question", "choices", "answer", "passage")
_WHOLE, _SET = "=", "|"
_MIN_WORDS, _MIN_CHARACTERS = 4, 8  # of a text that matches as a whole
_MIN_OPTIONS, _MIN_OPTION_CHARACTERS = 3, 12  # of a set of options, together
_MATCH_CHARACTERS = 200


def _windows(text: Column, conf: Clean) -> Column:
    return grams(folded(text), conf.ngram_words, conf.window_characters)


def _whole(text: Column) -> Column:
    """The text itself where it is long enough to mean something; it joins the windows, of which it has none."""
    short = folded(text)
    spaces = F.length(F.regexp_replace(short, "[^ ]+", ""))
    long_enough = F.when(is_cjk(short), F.length(short) - spaces >= _MIN_CHARACTERS).otherwise(spaces + 1 >= _MIN_WORDS)
    return F.when(long_enough, F.array(F.concat(F.lit(_WHOLE), short))).otherwise(F.array())


def _set(choices: Column) -> Column:
    """The options in an order of their own."""
    options = F.array_sort(F.array_distinct(F.transform(choices, lambda c: F.replace(folded(c), F.lit(" ")))))
    joined = F.array_join(options, _SET)
    characters = F.length(F.replace(joined, F.lit(_SET)))
    enough = (F.size(options) >= _MIN_OPTIONS) & (characters >= _MIN_OPTION_CHARACTERS)
    return F.when(enough, F.array(F.concat(F.lit(_SET), joined))).otherwise(F.array())


def _keys(field: str, conf: Clean) -> Column:
    """array<string>: the keys of one field of an item or a benchmark item, in order of position."""
    if field == "choices":
        return F.concat(_windows(F.array_join("choices", " "), conf), _set(F.col("choices")))
    windows = _windows(F.col(field), conf)
    return F.when(F.size(windows) > 0, windows).otherwise(_whole(F.col(field)))


def _benchmark_keys(benchmarks: DataFrame, conf: Clean) -> DataFrame:
    """[benchmark, benchmark_item, key]; a whole or a set that differing items of a benchmark share is a stock phrase.

    "Which of the following is true?" or "both, neither, ..." tell nothing about a leak and are left out.
    """
    keys = F.concat(_keys("question", conf), _keys("choices", conf), _windows(F.col("answer"), conf))
    item = F.xxhash64("question", "choices").alias("item")
    every = benchmarks.select("benchmark", F.col("item_id").alias("benchmark_item"), item, F.explode(keys).alias("key"))
    sharing = Window.partitionBy("benchmark", "key")
    stock = F.col("key").rlike("^[=|]") & (F.min("item").over(sharing) != F.max("item").over(sharing))
    return every.withColumn("stock", stock).where(~F.col("stock")).select("benchmark", "benchmark_item", "key")


def matches(items: DataFrame, benchmarks: DataFrame, conf: Clean) -> DataFrame:
    """[draft_id, source, generator, question, choices, answer, passage] and
    [benchmark, item_id, question, choices, answer] -> CONTAMINATION rows.

    Each field of an item is compared with the question, the joined options and the answer of each benchmark item; an
    answer there counts only from one full window on. `match` is the first matching key by position, up to 200 characters.
    """
    fields = F.array(*(F.struct(F.lit(f).alias("field"), _keys(f, conf).alias("keys")) for f in _FIELDS))
    texts = items.select("draft_id", "source", "generator", F.explode(fields).alias("f"))
    own = texts.select("draft_id", "source", "generator", "f.field", F.posexplode("f.keys").alias("position", "key"))
    theirs = _benchmark_keys(benchmarks, conf)
    # The items are what scales: only the hashes of the benchmarks travel to them (8 bytes per window, no shuffle of
    # items), and the few windows that remain meet the benchmarks' text, which also settles equal hashes.
    hashes = theirs.select(F.xxhash64("key").alias("hash"))
    suspects = own.withColumn("hash", F.xxhash64("key")).join(F.broadcast(hashes), on="hash", how="left_semi")
    found = suspects.drop("hash").join(theirs, on="key", how="inner")  # many to many: one row per shared window
    first = F.min_by("key", "position")
    shown = F.substring(F.regexp_replace(first, r"^[=|]", ""), 1, _MATCH_CHARACTERS)
    return (
        found.groupBy("draft_id", "field", "benchmark", "benchmark_item", "source", "generator")
        .agg(shown.alias("match"))
        .select(*CONTAMINATION.schema.names)
    )
