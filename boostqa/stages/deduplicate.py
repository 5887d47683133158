"""items -> duplicates: items whose normalised text equals, or nearly equals, that of an item that is kept.

Grain of every result: one item to drop. Key: item_id. Nothing disappears here, the caller drops. What it does not know:
what an item is made of (the caller composes `text`), and paraphrases that share few sequences of words.
"""

from functools import partial

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import MinHash
from boostqa.matching_text import folded, is_cjk, units
from boostqa.stages.rejects import Rule
from boostqa.vocabulary import Cause
from udfs import keepers, minhash

EXACT_DUPLICATE = Rule("exact_duplicate", Cause.DUPLICATE)
NEAR_DUPLICATE = Rule("near_duplicate", Cause.DUPLICATE)
NEAR_DUPLICATE_OF_SEED = Rule("near_duplicate_of_seed", Cause.DUPLICATE)
RULES = (EXACT_DUPLICATE, NEAR_DUPLICATE, NEAR_DUPLICATE_OF_SEED)


def exact(items: DataFrame, known: DataFrame | None = None) -> DataFrame:
    """[item_id, text] -> [item_id, keeper_id, rule]: items whose normalised text another item has as well, or one of
    `known` (the same columns), which stay.

    The keeper is the known item, else the one, with the smallest hash of its id. `rule` is `exact_duplicate`. Items
    without text have none.
    """
    new = items.withColumn("new", F.lit(True))
    both = new if known is None else new.unionByName(known.withColumn("new", F.lit(False)))
    hashed = both.withColumn("folded", folded(F.col("text")))
    same = Window.partitionBy(F.sha2("folded", 256))
    first = F.min(F.struct("new", F.xxhash64("item_id"), "item_id")).over(same)
    ranked = hashed.withColumn("keeper_id", first["item_id"])
    # Filtered here: below the window Spark would fold each text a second time for the filter.
    return ranked.where((F.col("item_id") != F.col("keeper_id")) & (F.col("folded") != "") & F.col("new")).select(
        "item_id", "keeper_id", F.lit(EXACT_DUPLICATE.name).alias("rule")
    )


def near(items: DataFrame, conf: MinHash) -> DataFrame:
    """[item_id, text, known, rule] -> [item_id, keeper_id, rule]: items that nearly equal one that is kept.

    Two are near duplicates that share a MinHash band key (udfs/minhash.py), over shingles of `conf.words` words or
    `conf.characters` Chinese or Japanese characters. Kept is, in the order of known ones first and then of the hash of
    the id, what shares no key with an item kept before; a known one is never dropped. `rule` is the keeper's
    (`near_duplicate_of_seed` of a seed, else `near_duplicate`). Items without text have no duplicates.
    Keys carry the 64-bit hash of the id instead of the id: 10^8 items confuse two of them with probability 0.03%.
    """
    nodes = items.select("item_id", "known", "rule", "text", F.xxhash64("item_id").alias("node"))
    found = _shared_keys(nodes, conf).groupBy().applyInPandas(keepers.keepers, keepers.SCHEMA)  # unique by node
    dropped = nodes.where(~F.col("known")).select("node", "item_id").join(found, on="node", how="inner")
    kept = nodes.select(F.col("node").alias("keeper"), F.col("item_id").alias("keeper_id"), "rule")
    return dropped.join(kept, on="keeper", how="inner").select("item_id", "keeper_id", "rule")


def _shingle_units(text: Column, conf: MinHash) -> Column:
    """How many units a shingle has: `characters` in Chinese and Japanese, else `words`."""
    return F.when(is_cjk(text), conf.characters).otherwise(conf.words)


def _shared_keys(nodes: DataFrame, conf: MinHash) -> DataFrame:
    """[node, key, known]: the band keys of each item that another item has too, and not seeds alone."""
    texts = nodes.select("node", "known", folded(F.col("text")).alias("folded"))
    window = _shingle_units(F.col("folded"), conf).alias("window")
    shingled = texts.select("node", "known", units(F.col("folded")).alias("units"), window)
    keys = shingled.mapInArrow(partial(minhash.map_band_keys, bands=conf.bands, rows=conf.rows), minhash.SCHEMA)
    each = keys.select("node", "known", F.explode("keys").alias("key"))
    same = Window.partitionBy("key")
    shared = (F.count("*").over(same) > 1) & ~F.min("known").over(same)
    return each.withColumn("shared", shared).where("shared").drop("shared")
