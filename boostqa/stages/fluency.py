"""items, seeds -> rejects. Grain: one item whose question reads unlike the questions and texts of its language.

A sandwich: requests(items, seeds, spec, conf), then parse(requests, completions). A small language model scores each
question, and some seeds of its language to know what is usual. The measure is bits per character, -log2 of the
likelihood; the first words of a text are the dearest, so _HEAD characters are added to every length. What it does not
know: whether what it reads is true; a rare subject costs bits as broken grammar does.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.config import Clean
from boostqa.languages import in_language
from boostqa.stages.rejects import Check, Rule, first_broken, reject_rows
from boostqa.vocabulary import Cause

NOT_SCORED = Rule("not_scored", Cause.NOT_SCORED)
NOT_FLUENT = Rule("not_fluent", Cause.RULE)
RULES = (NOT_SCORED, NOT_FLUENT)

_CHARACTERS = 600  # of a text that are scored: enough to tell, and the same for all
# The margin is the error of a 0.99 quantile of some hundred seeds. With SmolLM2-135M-Instruct and 120 OpenStax exercises as
# seeds the limit is 1.5 bits (their median 0.94): no question of 40 each of GSM8K and MATH is above, and with their words
# shuffled 0.99 of OpenStax, all of GSM8K, 0.90 of MATH. Without _HEAD it is 1.9 and misses an eighth of the first.
_HEAD, _QUANTILE, _MARGIN = 30, 0.99, 0.1
_FEWEST_SEEDS = 20  # of a language; with fewer nothing is known of what is usual, and nothing is rejected


def requests(items: DataFrame, seeds: DataFrame, spec: ModelSpec, conf: Clean) -> DataFrame:
    """Items [draft_id, lang, question] and SEED rows -> one request each [draft_id (null for a seed), lang, REQUEST
    columns]; of the seeds `conf.fluency_seeds` a language by hash, by their question or else their text."""
    order = Window.partitionBy("lang").orderBy(F.xxhash64("seed_id"), "seed_id")
    usual = seeds.select(
        "lang", F.coalesce("question", "text").alias("text"), F.row_number().over(order).alias("place")
    )
    asked = items.select("draft_id", "lang", F.col("question").alias("text"))
    known = usual.where(F.col("place") <= conf.fluency_seeds).select(
        F.lit(None).cast("string").alias("draft_id"), "lang", "text"
    )
    lang, template = F.col("lang"), prompts.load("fluency")
    space = in_language(lang, F.lit(""), F.lit(" "))
    continuation = F.concat(space, F.trim(F.left(F.trim("text"), F.lit(_CHARACTERS))))
    rows = asked.unionByName(known)
    scored = with_request(rows, "clean", spec, template, template.render(lang), chat=False, continuation=continuation)
    return scored.drop("text")


def _rate(logprob: Column, text: Column) -> Column:
    """Bits per character."""
    return -logprob / F.log(F.lit(2.0)) / (F.length(text) + _HEAD)


def parse(requests: DataFrame, completions: DataFrame) -> DataFrame:
    """Requests and the ledger (unique by request_id) -> rejects with key draft_id: `not_scored` (refused or failed) and
    `not_fluent` (above the 0.99 quantile of the seeds of the language and a margin)."""
    scores = completions.select("request_id", "logprob", "error")
    rows = requests.select("draft_id", "lang", "request_id", "continuation").join(scores, "request_id", "inner")
    rated = rows.withColumn("rate", _rate(F.col("logprob"), F.col("continuation")))
    limit = F.percentile(F.col("rate"), F.lit(_QUANTILE)) + _MARGIN
    by_lang = (
        rated.where("draft_id is null")
        .groupBy("lang")
        .agg(F.when(F.count("rate") >= _FEWEST_SEEDS, limit).alias("most"))  # unique by lang
    )
    judged = rated.where("draft_id is not null").join(F.broadcast(by_lang), "lang", "left")
    checks = (
        Check(NOT_SCORED, F.col("rate").isNull(), F.coalesce("error", F.lit("see completion of stage clean"))),
        Check(
            NOT_FLUENT, F.col("rate") > F.col("most"), F.format_string("%.2f > %.2f bits a character", "rate", "most")
        ),
    )
    rows = judged.withColumn("broken_rule", first_broken(checks))
    return reject_rows(rows, "clean", "draft_id")
