"""clean, budget -> mix, rejects. Grain: one exported item. Key: draft_id.

Items are rendered as plain text, counted under the target tokenizer and selected to a token total in hash order: first
each cell (discipline x measured difficulty) up to its own share of the total, then what is left over from all the rest.
What may disappear: items beyond the total (rule `over_budget`). Not known here: repeats and other corpora.
"""

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Mix
from boostqa.schemas import MIX, STRINGS
from udfs.text import count_tokens

CELL = ("discipline", "difficulty")
SALT = "mix"
# Hexadecimal digits of the hash that name a bucket: 65,536 buckets, whose sums fit one task at any size of the line.
BUCKET_DIGITS = 4


def _text() -> Column:
    """Question, options, worked solution, final answer; a solution that only repeats the answer is left out."""
    chinese = F.col("lang") == "zh"
    letter = F.transform("choices", lambda choice, i: F.concat(F.char(F.lit(ord("A")) + i), F.lit(". "), choice))
    asked = F.concat_ws("\n", "question", F.array_join(letter, "\n"))
    worked = F.when(F.trim("solution") != F.trim("answer"), F.nullif(F.trim("solution"), F.lit("")))
    question = F.concat(F.when(chinese, "问题：").otherwise("Question: "), asked)
    answer = F.concat(F.when(chinese, "答案：").otherwise("Answer: "), F.trim("answer"))
    return F.concat_ws("\n\n", question, worked, answer)


def render(clean: DataFrame, tokenizer_json: str) -> DataFrame:
    """CLEAN rows -> MIX columns without `shard`: `text` in plain text and its `tokens`, no special tokens added.

    `tokenizer_json` is the content of the target model's tokenizer.json. Labels are Chinese for lang zh, else English.
    """

    @F.pandas_udf("int")  # type: ignore[call-overload]
    def tokens(texts: pd.Series) -> pd.Series:
        return count_tokens(texts, tokenizer_json)

    rendered = clean.withColumn("text", _text()).withColumn("tokens", tokens("text"))
    return rendered.select(*(name for name in MIX.schema.names if name != "shard"))


def choose(rendered: DataFrame, budget: DataFrame, conf: Mix) -> tuple[DataFrame, DataFrame]:
    """`render`'s rows and BUDGET -> (MIX rows of at most `conf.tokens` tokens, rejects).

    Reject rule: `over_budget`. A cell's share is conf.tokens x its budget / all budgets; a cell without a budget has
    none. Both running sums are exact and no window spans the table: one runs inside each cell; the one over the rest,
    in hash order, runs inside hash buckets on top of the sum of the buckets before.
    """
    rank = F.sha2(F.concat(F.lit(SALT), "draft_id"), 256)
    narrow = rendered.select("draft_id", *CELL, "tokens", rank.alias("rank"))
    all_budgets = F.broadcast(budget.agg(F.sum("tokens").alias("all_budgets")))  # one row
    share = F.floor(F.lit(float(conf.tokens)) * F.try_divide("tokens", "all_budgets"))
    shares = budget.crossJoin(all_budgets).select(*CELL, F.col("tokens").alias("budget"), share.alias("share"))
    in_cell, in_bucket = (Window.partitionBy(*by).orderBy("rank", "draft_id") for by in (CELL, ("bucket",)))
    first = (
        narrow.join(F.broadcast(shares), on=list(CELL), how="left")  # budget: unique by cell
        .withColumn("running", F.sum("tokens").over(in_cell))
        .withColumn("in_share", F.col("running") <= F.coalesce("share", F.lit(0)))
        .withColumn("bucket", F.substring("rank", 1, BUCKET_DIGITS))
    )
    rest = F.sum(F.when(F.col("in_share"), 0).otherwise(F.col("tokens")))
    buckets = first.groupBy("bucket").agg(
        rest.alias("rest"), F.sum(F.when(F.col("in_share"), F.col("tokens")).otherwise(0)).alias("taken")
    )
    taken = F.broadcast(buckets.agg(F.sum("taken").alias("all_taken")))  # one row
    up_to_bucket = Window.orderBy("bucket")  # at most 65,536 rows
    offsets = buckets.select("bucket", (F.sum("rest").over(up_to_bucket) - F.col("rest")).alias("offset"))
    left_over = F.lit(conf.tokens) - F.col("all_taken")
    selected = (
        first.join(F.broadcast(offsets), on="bucket", how="inner")  # offsets: unique by bucket
        .crossJoin(taken)
        .withColumn("filled", F.col("offset") + rest.over(in_bucket))
        .withColumn("kept", F.col("in_share") | (F.col("filled") <= left_over))
        .select("draft_id", *CELL, "tokens", "budget", "kept")
    )
    chosen = selected.where("kept").select("draft_id")
    shard = F.pmod(F.xxhash64("draft_id"), F.lit(conf.shards)).cast("int")
    kept = rendered.join(chosen, on="draft_id", how="inner").withColumn("shard", shard)  # chosen: unique by draft_id
    evidence = F.format_string(
        "cell %s %s budget %d tokens, item %d tokens, total %d tokens",
        *CELL, F.coalesce("budget", F.lit(0)), "tokens", F.lit(conf.tokens),
    )  # fmt: skip
    rejects = selected.where(~F.col("kept")).select(
        F.lit("mix").alias("stage"),
        F.col("draft_id").alias("key"),
        F.lit("over_budget").alias("rule"),
        evidence.alias("evidence"),
        F.lit(None).cast(STRINGS).alias("request_ids"),
    )
    return kept.select(*MIX.schema.names), rejects


def mix(clean: DataFrame, budget: DataFrame, conf: Mix, tokenizer_json: str) -> tuple[DataFrame, DataFrame]:
    """CLEAN and BUDGET -> (MIX rows, rejects): `render`, then `choose`.

    A job that writes both results calls the two itself and persists the rendered rows between them: tokens are then
    counted once.
    """
    return choose(render(clean, tokenizer_json), budget, conf)
