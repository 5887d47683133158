"""probe item -> probe, rejects. Grain: one cell (discipline x difficulty) of one checkpoint and method.

Two methods: `letter` compares the likelihoods of the option letters after the question with its options, `cloze` those
of the option texts after the bare question, per character. What may disappear: items that are not multiple choice or
whose options could not be scored. What it does not know: how the labels of an item came about (annotate).
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.requests import Speaker, request
from boostqa.schemas import PROBE, STRINGS

LETTERS = "ABCDEFGHIJ"
Z = 1.959963984540054  # 97.5% quantile of the normal distribution: a 95% interval


def usable(items: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Items [item_id, question, choices, answer, lang, discipline, difficulty, ...] -> (multiple choice, rejects)."""
    options = F.size("choices")
    answer = F.upper(F.trim("answer"))
    position = F.when(F.length(answer) == 1, F.instr(F.lit(LETTERS), answer)).otherwise(0)
    valid = F.coalesce(
        (options >= 2) & (options <= len(LETTERS)) & (position >= 1) & (position <= options), F.lit(False)
    )
    judged = items.withColumns({"answer": answer, "valid": valid})
    rejects = judged.where(~F.col("valid")).select(
        F.lit("probe").alias("stage"),
        F.col("item_id").alias("key"),
        F.lit("not_multiple_choice").alias("rule"),
        F.format_string(
            "%s options, answer %s", F.coalesce(options, F.lit(0)).cast("string"), F.coalesce("answer", F.lit("null"))
        ).alias("evidence"),
        F.lit(None).cast(STRINGS).alias("request_ids"),
    )
    return judged.where("valid").drop("valid"), rejects


def _lettered(choices: Column) -> Column:
    letters = F.array(*(F.lit(letter) for letter in LETTERS))
    lines = F.transform(choices, lambda c, i: F.concat(F.get(letters, i), F.lit(". "), c, F.lit("\n")))
    return F.array_join(lines, "")


def letter_requests(items: DataFrame, speaker: Speaker) -> DataFrame:
    """One request an item: the log-probabilities of the option letters as next token."""
    prompt, lang = prompts.load("probe"), F.col("lang")
    # English prompts end with "Answer:", after which a letter is a token with its leading space; Chinese ones take none.
    space = F.when(lang == "zh", "").otherwise(" ")
    letters = F.slice(F.array(*(F.concat(space, F.lit(x)) for x in LETTERS)), 1, F.size("choices"))
    structured = F.to_json(F.struct(letters.alias("letters")))
    text = prompt.render(lang, question=F.col("question"), options=_lettered(F.col("choices")))
    rows = items.select("item_id", "lang", "question", "choices")
    return request(rows, "probe", speaker, prompt, text, chat=False, structured=structured).drop("question", "choices")


def cloze_requests(items: DataFrame, speaker: Speaker) -> DataFrame:
    """One request an option: the log-probability of its text after the bare question; adds `option` (0-based)."""
    prompt, lang = prompts.load("probe"), F.col("lang")
    rows = items.select("item_id", "lang", "question", F.posexplode("choices").alias("option", "choice"))
    space = F.when(lang == "zh", "").otherwise(" ")
    text = prompt.render(lang, question=F.col("question"), options=F.lit(""))
    asked = request(rows, "probe", speaker, prompt, text, chat=False, continuation=F.concat(space, "choice"))
    return asked.drop("question", "choice")


def letter_picks(asked: DataFrame, completions: DataFrame) -> DataFrame:
    """[item_id, pick, request_ids]: the most likely letter; null where the request was not scored."""
    scores = asked.select("item_id", "request_id").join(
        completions.select("request_id", "choice_logprobs"), "request_id", "inner"
    )
    ranked = F.array_sort(
        F.transform(
            F.map_entries("choice_logprobs"), lambda e: F.struct((-e["value"]).alias("loss"), e["key"].alias("letter"))
        )
    )
    pick = F.get(ranked, F.lit(0))["letter"].alias("pick")
    return scores.select("item_id", pick, F.array("request_id").alias("request_ids"))


def cloze_picks(asked: DataFrame, completions: DataFrame) -> DataFrame:
    """[item_id, pick, request_ids]: the letter of the option with the highest log-probability per character; null where
    one is missing."""
    scored = asked.select("item_id", "option", "request_id", "continuation").join(
        completions.select("request_id", "logprob"), "request_id", "inner"
    )
    rate = F.col("logprob") / F.length("continuation")
    best = F.max_by("option", F.struct(rate, -F.col("option")))
    item = scored.groupBy("item_id").agg(
        best.alias("option"),
        F.bool_and(F.col("logprob").isNotNull()).alias("whole"),
        F.array_sort(F.collect_list("request_id")).alias("request_ids"),
    )
    letter = F.substring(F.lit(LETTERS), F.col("option") + 1, F.lit(1))
    return item.select("item_id", F.when(F.col("whole"), letter).alias("pick"), "request_ids")


def unscored(picks: DataFrame) -> DataFrame:
    """Rejects for items without a pick; `picks` is [item_id, pick, request_ids, method, checkpoint]."""
    return picks.where(F.col("pick").isNull()).select(
        F.lit("probe").alias("stage"),
        F.concat_ws("#", "item_id", "method", "checkpoint").alias("key"),
        F.lit("not_scored").alias("rule"),
        F.lit("a request of the item was refused or failed: see completion.error of stage probe").alias("evidence"),
        "request_ids",
    )


def scores(items: DataFrame, picks: DataFrame) -> DataFrame:
    """Items (unique by item_id) and picks [item_id, pick, method, checkpoint] -> PROBE rows.

    The interval is Wilson's score interval (E. B. Wilson 1927, JASA 22:209-212) at 95%.
    """
    joined = picks.where(F.col("pick").isNotNull()).drop("request_ids").join(items, "item_id", "inner")
    cell = joined.groupBy("checkpoint", "method", "discipline", "difficulty").agg(
        F.count("*").alias("items"),
        F.sum((F.col("pick") == F.col("answer")).cast("long")).alias("correct"),
        F.avg(1 / F.size("choices")).alias("chance"),
    )
    n, p = F.col("items"), F.col("accuracy")
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * F.sqrt(p * (1 - p) / n + Z**2 / (4 * n * n))
    rated = cell.withColumn("accuracy", F.col("correct") / n)
    low, high = F.greatest(F.lit(0.0), centre - half), F.least(F.lit(1.0), centre + half)
    return rated.withColumns({"wilson_low": low, "wilson_high": high}).select(*PROBE.schema.names)
