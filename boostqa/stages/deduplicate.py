"""items -> duplicates: items whose normalised text equals, or nearly equals, that of an item that is kept.

Grain of every result: one item to drop. Key: item_id. Nothing disappears here, the caller drops. What it does not know:
what an item is made of (the caller composes `text`), and paraphrases that share few sequences of words.
`folded`, `units` and `grams` are the line's one normalisation for matching texts; decontamination uses them as well.
"""

from collections.abc import Callable
from functools import partial

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import MinHash
from udfs import components, minhash
from udfs.text import IDEOGRAPHS

_CJK = r"\p{IsHan}\p{IsHiragana}\p{IsKatakana}"
# Full-width ASCII (U+FF01 to U+FF5E), the ideographic space, and radicals in text that no reader has normalised.
_FOLDS = {chr(c + 0xFEE0): chr(c) for c in range(0x21, 0x7F)} | {"\u3000": " "} | IDEOGRAPHS


def folded(text: Column) -> Column:
    """Text for matching: lower case, half width, unified ideographs; one space for what is no letter, mark or digit."""
    narrow = F.translate(text, "".join(_FOLDS), "".join(_FOLDS.values()))
    narrow = F.when(text.rlike(r"[\u2e80-\u2fdf\u3000\uff01-\uff5e]"), narrow).otherwise(text)  # translate is slow
    return F.trim(F.regexp_replace(F.lower(narrow), r"[^\p{L}\p{M}\p{N}]+", " "))


def cjk_characters(text: Column) -> Column:
    """Number of Chinese and Japanese characters."""
    return F.length(F.regexp_replace(text, rf"[^{_CJK}]+", ""))


def is_cjk(folded: Column) -> Column:
    """Whether Chinese or Japanese dominates: more such characters than spaces between words.

    A share of all characters would count Chinese exercises full of formulas as words.
    """
    return cjk_characters(folded) > F.length(F.regexp_replace(folded, "[^ ]+", ""))


def units(folded: Column) -> Column:
    """array<string>: characters without spaces where Chinese or Japanese dominates, else words; empty for no text."""
    characters = F.split(F.replace(folded, F.lit(" ")), "")
    return F.when(is_cjk(folded), characters).when(folded != "", F.split(folded, " ")).otherwise(F.array())


def _let(value: Column, use: Callable[[Column], Column]) -> Column:
    """`use(value)` with `value` computed once: Spark computes a column again wherever a lambda mentions it."""
    return F.transform(F.array(value), use)[0]


def grams(folded: Column, words: int, characters: int) -> Column:
    """array<string>: every run of `words` words, or of `characters` characters where Chinese or Japanese dominates.

    Empty where the text is shorter than one run, or null.
    """

    def runs(units: Column, size: int, separator: str) -> Column:
        last = F.size(units) - size + 1
        every = F.transform(F.sequence(F.lit(1), last), lambda i: F.array_join(F.slice(units, i, size), separator))
        return F.when(last > 0, every).otherwise(F.array())

    def of(text: Column) -> Column:
        return _let(
            units(text),
            lambda u: F.when(is_cjk(text), runs(u, characters, "")).otherwise(runs(u, words, " ")),
        )

    return _let(folded, of)


def exact(items: DataFrame) -> DataFrame:
    """[item_id, text] -> [item_id, keeper_id, how]: items whose normalised text another item has as well.

    The keeper is the item with the smallest hash of its id. `how` is `exact_duplicate`. Items without text have none.
    """
    hashed = items.withColumn("folded", folded(F.col("text"))).where(F.col("folded") != "")
    same = Window.partitionBy(F.sha2("folded", 256))
    ranked = hashed.withColumn("keeper_id", F.min(F.struct(F.xxhash64("item_id"), "item_id")).over(same)["item_id"])
    return ranked.where(F.col("item_id") != F.col("keeper_id")).select(
        "item_id", "keeper_id", F.lit("exact_duplicate").alias("how")
    )


def near(items: DataFrame, conf: MinHash) -> DataFrame:
    """[item_id, text, is_seed] -> [item_id, keeper_id, how]: items of a cluster of near duplicates, all but one keeper.

    Clusters are the connected components of the items that share a MinHash band key (udfs/minhash.py), over shingles of
    `conf.words` words or `conf.characters` Chinese or Japanese characters. A seed is the keeper before any other item,
    then the smallest hash of the id counts; a seed is never dropped. `how` is `near_duplicate_of_seed` where the keeper
    is a seed, else `near_duplicate`. Items without text have no duplicates.
    Edges carry the 64-bit hash of the id instead of the id: 10^8 items confuse two of them with probability 0.03%.
    """
    nodes = items.select("item_id", "is_seed", "text", F.xxhash64("item_id").alias("node"))
    texts = nodes.select("node", folded(F.col("text")).alias("folded")).where(F.col("folded") != "")
    window = F.when(is_cjk(F.col("folded")), conf.characters).otherwise(conf.words)
    shingled = texts.select("node", units(F.col("folded")).alias("units"), window.alias("window"))
    keys = shingled.mapInArrow(partial(minhash.map_band_keys, bands=conf.bands, rows=conf.rows), minhash.SCHEMA)
    buckets = keys.select("node", F.explode("keys").alias("key"))
    # Every item is tied to the smallest of its bucket only: edges grow with the items, not with their pairs.
    smallest = F.min("node").over(Window.partitionBy("key"))
    edges = buckets.select(F.col("node").alias("a"), smallest.alias("b")).where(F.col("a") != F.col("b")).distinct()
    found = edges.groupBy().applyInPandas(components.components, components.SCHEMA)
    cluster = Window.partitionBy("component")
    keeper = F.min(F.struct(~F.col("is_seed"), "node", "item_id", "is_seed")).over(cluster)
    members = nodes.join(found, on="node", how="inner").withColumn("keeper", keeper)  # found: unique by node
    dropped = members.where(~F.col("is_seed") & (F.col("item_id") != F.col("keeper.item_id")))
    how = F.when(F.col("keeper.is_seed"), "near_duplicate_of_seed").otherwise("near_duplicate")
    return dropped.select("item_id", F.col("keeper.item_id").alias("keeper_id"), how.alias("how"))
