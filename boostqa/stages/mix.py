"""clean, budget -> mix, rejects. Grain: one exported item. Key: draft_id.

Items are rendered as plain text, counted under the target tokenizer and selected to a token total in hash order: first
each cell (discipline x measured difficulty) up to its own share of the total, then what is left over from all the rest.
What may disappear: items beyond the total (rule `over_budget`); the caller leaves out what is in quarantine or withdrawn (rules
`quarantined`, `withdrawn`). Not known here: repeats and other corpora.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Mix
from boostqa.schemas import MIX
from boostqa.stages.quarantine import QUARANTINED
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.stages.withdrawal import WITHDRAWN
from boostqa.stages.wording import rendered
from boostqa.vocabulary import Cause

OVER_BUDGET = Rule("over_budget", Cause.OVER_BUDGET)
CONTROL_TOKENS = Rule("control_tokens", Cause.RULE)
RULES = (QUARANTINED, WITHDRAWN, CONTROL_TOKENS, OVER_BUDGET)
CELL = ("discipline", "difficulty")
SALT = "mix"
# Hexadecimal digits of the hash that name a bucket: 65,536 buckets, whose sums fit one task at any size of the mix.
BUCKET_DIGITS = 4


def render(clean: DataFrame, tokenizer_json: str) -> DataFrame:
    """CLEAN rows with their `round` -> MIX columns without `shard`: `text` in plain text in one of several layouts, its `tokens`,
    no special tokens added, and the `spans` of its parts; and `control_tokens`, an array of those that the tokenizer finds in
    the text.

    `tokenizer_json` is the content of the target model's tokenizer.json. Labels are Chinese for lang zh, else English.
    """
    texts = clean.drop("tokens").withColumn("rendered", rendered(tokenizer_json)).select("*", "rendered.*")
    return texts.select(*(name for name in MIX.schema.names if name != "shard"), "control_tokens")


def cell_shares(budget: DataFrame, tokens: int) -> DataFrame:
    """Grain: a cell. [discipline, difficulty, budget, share]: its part of `tokens` by its part of all budgets."""
    budget = budget.groupBy(*CELL).agg(F.sum("tokens").alias("tokens"))
    all_budgets = F.broadcast(budget.agg(F.sum("tokens").alias("all_budgets")))  # one row
    share = F.floor(F.lit(float(tokens)) * F.try_divide("tokens", "all_budgets"))
    return budget.crossJoin(all_budgets).select(*CELL, F.col("tokens").alias("budget"), share.alias("share"))


def _within_share(rendered: DataFrame, shares: DataFrame) -> DataFrame:
    """Grain: an item. [draft_id, cell, tokens, rank, budget, in_share]: in hash order, as long as its cell's share
    lasts."""
    rank = F.sha2(F.concat(F.lit(SALT), "draft_id"), 256)
    items = rendered.select("draft_id", *CELL, "tokens", rank.alias("rank"))
    so_far = F.sum("tokens").over(Window.partitionBy(*CELL).orderBy("rank", "draft_id"))
    rows = items.join(F.broadcast(shares), on=list(CELL), how="left")  # shares: unique by cell
    return rows.withColumn("in_share", so_far <= F.coalesce("share", F.lit(0))).drop("share")


def _with_filled(rows: DataFrame) -> DataFrame:
    """Grain: an item. Adds `filled`, the tokens of the rest (not in_share) up to the item in hash order, and
    `all_taken`, those of all that is in_share.

    A running sum over a whole table would run in one task: this one runs inside hash buckets, on top of the sum of the
    buckets before.
    """
    rows = rows.withColumn("bucket", F.substring("rank", 1, BUCKET_DIGITS))
    rest = F.sum(F.when(F.col("in_share"), 0).otherwise(F.col("tokens")))
    taken = F.sum(F.when(F.col("in_share"), F.col("tokens")).otherwise(0))
    buckets = rows.groupBy("bucket").agg(rest.alias("rest"), taken.alias("taken"))
    up_to_bucket = F.sum("rest").over(Window.orderBy("bucket"))  # at most 65,536 rows
    offsets = buckets.select("bucket", (up_to_bucket - F.col("rest")).alias("offset"))  # unique by bucket
    totals = buckets.agg(F.sum("taken").alias("all_taken"))  # one row
    in_bucket = Window.partitionBy("bucket").orderBy("rank", "draft_id")
    placed = rows.join(F.broadcast(offsets), on="bucket", how="inner").crossJoin(F.broadcast(totals))
    return placed.withColumn("filled", F.col("offset") + rest.over(in_bucket))


def choose(rendered: DataFrame, budget: DataFrame, conf: Mix) -> tuple[DataFrame, DataFrame]:
    """`render`'s rows and BUDGET rows of any number of rounds -> (MIX rows of at most `conf.tokens` tokens, rejects).

    Rules: `control_tokens` (the text would not be read as text; escaping leaves none, so a row that has one came past
    it), `over_budget`.
    A cell's share is conf.tokens x its budget / all budgets; a cell without a budget has none. What the cells leave
    over is filled from all the rest in hash order.
    """
    clear, control = rendered.where(F.size("control_tokens") == 0), F.array_join("control_tokens", " ")
    unclear = rendered.select(
        "draft_id", F.when(control != "", breaks_rule(CONTROL_TOKENS, control)).alias("broken_rule")
    )
    rows = _with_filled(_within_share(clear, cell_shares(budget, conf.tokens)))
    left_over = F.lit(conf.tokens) - F.col("all_taken")
    kept = F.col("in_share") | (F.col("filled") <= left_over)
    evidence = F.format_string(
        "cell %s %s budget %d tokens, item %d tokens, total %d tokens",
        *CELL, F.coalesce("budget", F.lit(0)), "tokens", F.lit(conf.tokens),
    )  # fmt: skip
    judged = rows.select("draft_id", F.when(~kept, breaks_rule(OVER_BUDGET, evidence)).alias("broken_rule"))
    chosen = judged.where("broken_rule is null").select("draft_id")  # unique
    shard = F.pmod(F.xxhash64("draft_id"), F.lit(conf.shards)).cast("int")
    mixed = rendered.join(chosen, on="draft_id", how="inner").withColumn("shard", shard)
    return mixed.select(*MIX.schema.names), reject_rows(judged.unionByName(unclear), "mix", "draft_id")
