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


def exact(items: DataFrame) -> DataFrame:
    """[item_id, text] -> [item_id, keeper_id, rule]: items whose normalised text another item has as well.

    The keeper is the item with the smallest hash of its id. `rule` is `exact_duplicate`. Items without text have none.
    """
    hashed = items.withColumn("folded", folded(F.col("text")))
    same = Window.partitionBy(F.sha2("folded", 256))
    ranked = hashed.withColumn("keeper_id", F.min(F.struct(F.xxhash64("item_id"), "item_id")).over(same)["item_id"])
    # Filtered here: below the window Spark would fold each text a second time for the filter.
    return ranked.where((F.col("item_id") != F.col("keeper_id")) & (F.col("folded") != "")).select(
        "item_id", "keeper_id", F.lit(EXACT_DUPLICATE.name).alias("rule")
    )


def near(items: DataFrame, conf: MinHash) -> DataFrame:
    """[item_id, text, is_seed] -> [item_id, keeper_id, rule]: items that nearly equal one that is kept.

    Two are near duplicates that share a MinHash band key (udfs/minhash.py), over shingles of `conf.words` words or
    `conf.characters` Chinese or Japanese characters. Kept is, in the order of seeds first and then of the hash of the
    id, what shares no key with an item kept before; a seed is never dropped. `rule` is `near_duplicate_of_seed` where
    the keeper is a seed, else `near_duplicate`. Items without text have no duplicates.
    Keys carry the 64-bit hash of the id instead of the id: 10^8 items confuse two of them with probability 0.03%.
    """
    nodes = items.select("item_id", "is_seed", "text", F.xxhash64("item_id").alias("node"))
    found = _shared_keys(nodes, conf).groupBy().applyInPandas(keepers.keepers, keepers.SCHEMA)  # unique by node
    dropped = nodes.where(~F.col("is_seed")).select("node", "item_id").join(found, on="node", how="inner")
    kept = nodes.select(F.col("node").alias("keeper"), F.col("item_id").alias("keeper_id"), "is_seed")
    rule = F.when(F.col("is_seed"), NEAR_DUPLICATE_OF_SEED.name).otherwise(NEAR_DUPLICATE.name)
    return dropped.join(kept, on="keeper", how="inner").select("item_id", "keeper_id", rule.alias("rule"))


def _shingle_units(text: Column, conf: MinHash) -> Column:
    """How many units a shingle has: `characters` in Chinese and Japanese, else `words`."""
    return F.when(is_cjk(text), conf.characters).otherwise(conf.words)


def _shared_keys(nodes: DataFrame, conf: MinHash) -> DataFrame:
    """[node, key, is_seed]: the band keys of each item that another item has too, and not seeds alone."""
    texts = nodes.select("node", "is_seed", folded(F.col("text")).alias("folded"))
    window = _shingle_units(F.col("folded"), conf).alias("window")
    shingled = texts.select("node", "is_seed", units(F.col("folded")).alias("units"), window)
    keys = shingled.mapInArrow(partial(minhash.map_band_keys, bands=conf.bands, rows=conf.rows), minhash.SCHEMA)
    each = keys.select("node", "is_seed", F.explode("keys").alias("key"))
    same = Window.partitionBy("key")
    shared = (F.count("*").over(same) > 1) & ~F.min("is_seed").over(same)
    return each.withColumn("shared", shared).where("shared").drop("shared")
