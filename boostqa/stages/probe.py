"""probe item -> probe, rejects. Grain: one cell (discipline x difficulty) of one checkpoint and method.

Two methods: `letter` compares the likelihoods of the option letters after the question with its options, `cloze` those
of the option texts after the bare question, per character. What may disappear: items that are not multiple choice or
whose options could not be scored. What it does not know: how the labels of an item came about (annotate).
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.languages import in_language
from boostqa.schemas import PROBE
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.stages.wording import lettered
from boostqa.vocabulary import OPTION_LETTERS, Cause
from boostqa.wilson import wilson

NOT_MULTIPLE_CHOICE = Rule("not_multiple_choice", None)
NOT_SCORED = Rule("not_scored", Cause.NOT_SCORED)
RULES = (NOT_MULTIPLE_CHOICE, NOT_SCORED)


def usable(items: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Items [item_id, question, choices, answer, lang, discipline, difficulty, ...] -> (multiple choice, rejects).

    An answer is the letter of one option, as read_items gives it.
    """
    options, seen = F.size("choices"), F.coalesce("answer", F.lit("null"))
    lettered_answer = F.array_contains(F.slice(F.array(*map(F.lit, OPTION_LETTERS)), 1, options), F.col("answer"))
    valid = (options >= 2) & (options <= len(OPTION_LETTERS)) & lettered_answer
    evidence = F.format_string(
        f"%s options, answer %s; needed are 2 to {len(OPTION_LETTERS)} options and the letter, index or text of one",
        *(F.coalesce(options, F.lit(0)), seen),
    )
    broken = F.when(~F.coalesce(valid, F.lit(False)), breaks_rule(NOT_MULTIPLE_CHOICE, evidence))
    judged = items.withColumn("broken_rule", broken)
    return judged.where("broken_rule is null").drop("broken_rule"), reject_rows(judged, "probe", "item_id")


def _space(lang: Column) -> Column:
    """English prompts end with "Answer:", after which a token begins with its space; Chinese ones take none."""
    return in_language(lang, "", " ")


def letter_requests(items: DataFrame, spec: ModelSpec) -> DataFrame:
    """One request an item: the log-probabilities of the option letters as next token."""
    template, lang = prompts.load("probe"), F.col("lang")
    letters = F.slice(F.array(*(F.concat(_space(lang), F.lit(x)) for x in OPTION_LETTERS)), 1, F.size("choices"))
    structured = F.to_json(F.struct(letters.alias("letters")))
    options = F.concat(F.array_join(lettered(F.col("choices")), "\n"), F.lit("\n"))
    prompt = template.render(lang, question=F.col("question"), options=options)
    rows = items.select("item_id", "lang", "question", "choices")
    requests = with_request(rows, "probe", spec, template, prompt, chat=False, structured=structured)
    return requests.drop("question", "choices")


def cloze_requests(items: DataFrame, spec: ModelSpec) -> DataFrame:
    """One request an option: the log-probability of its text after the bare question; adds `option` (0-based)."""
    template, lang = prompts.load("probe"), F.col("lang")
    rows = items.select("item_id", "lang", "question", F.posexplode("choices").alias("option", "choice"))
    prompt = template.render(lang, question=F.col("question"), options=F.lit(""))
    continuation = F.concat(_space(lang), "choice")
    requests = with_request(rows, "probe", spec, template, prompt, chat=False, continuation=continuation)
    return requests.drop("question", "choice")


def letter_picks(requests: DataFrame, completions: DataFrame) -> DataFrame:
    """[item_id, pick, request_ids]: the most likely letter; null where the request was not scored."""
    scores = requests.select("item_id", "request_id").join(
        completions.select("request_id", "choice_logprobs"), "request_id", "inner"
    )
    ranked = F.array_sort(
        F.transform(
            F.map_entries("choice_logprobs"), lambda e: F.struct((-e["value"]).alias("loss"), e["key"].alias("letter"))
        )
    )
    pick = F.get(ranked, F.lit(0))["letter"].alias("pick")
    return scores.select("item_id", pick, F.array("request_id").alias("request_ids"))


def cloze_picks(requests: DataFrame, completions: DataFrame) -> DataFrame:
    """[item_id, pick, request_ids]: the letter of the option with the highest log-probability per character; null where
    one is missing."""
    scored = requests.select("item_id", "option", "request_id", "continuation").join(
        completions.select("request_id", "logprob"), "request_id", "inner"
    )
    rate = F.col("logprob") / F.length("continuation")
    best = F.max_by("option", F.struct(rate, -F.col("option")))
    item = scored.groupBy("item_id").agg(
        best.alias("option"),
        F.bool_and(F.col("logprob").isNotNull()).alias("whole"),
        F.array_sort(F.collect_list("request_id")).alias("request_ids"),
    )
    letter = F.substring(F.lit(OPTION_LETTERS), F.col("option") + 1, F.lit(1))
    return item.select("item_id", F.when(F.col("whole"), letter).alias("pick"), "request_ids")


def unscored(picks: DataFrame) -> DataFrame:
    """Rejects for items without a pick; `picks` is [item_id, pick, request_ids, method, checkpoint]."""
    evidence = F.lit("a request of the item was refused or failed: see completion.error of stage probe")
    missing = picks.where(F.col("pick").isNull()).withColumns(
        {"key": F.concat_ws("#", "item_id", "method", "checkpoint"), "broken_rule": breaks_rule(NOT_SCORED, evidence)}
    )
    return reject_rows(missing, "probe", "key", F.col("request_ids"))


def scores(items: DataFrame, picks: DataFrame) -> DataFrame:
    """Items (unique by item_id) and picks [item_id, pick, request_ids, method, checkpoint] -> PROBE rows.

    The interval is Wilson's at 95%.
    """
    labelled = items.select("item_id", "discipline", "difficulty", "choices", "answer")
    joined = picks.where(F.col("pick").isNotNull()).join(labelled, "item_id", "inner")
    cell = joined.groupBy("checkpoint", "method", "discipline", "difficulty").agg(
        F.count("*").alias("items"),
        F.sum((F.col("pick") == F.col("answer")).cast("long")).alias("correct"),
        F.avg(1 / F.size("choices")).alias("chance"),
        F.array_sort(F.flatten(F.collect_list("request_ids"))).alias("request_ids"),
    )
    low, high = wilson(F.col("accuracy"), F.col("items"))
    rated = cell.withColumn("accuracy", F.col("correct") / F.col("items"))
    return rated.withColumns({"wilson_low": low, "wilson_high": high}).select(*PROBE.schema.names)
