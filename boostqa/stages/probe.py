"""probe item -> probe, rejects. Grain: one cell (discipline x difficulty) of one checkpoint and method.

Three methods: `letter` compares the likelihoods of the option letters after the question with its options, `cloze` those
of the option texts after the bare question, per character; `reference` measures the bits per byte of the reference
answer after the bare question, of open items too. What may disappear: items that no method of the conf scores, and items
whose request was refused. What it does not know: how the labels of an item came about (annotate).
"""

from collections.abc import Collection
from math import log

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.languages import in_language
from boostqa.schemas import PROBE
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.stages.wording import lettered
from boostqa.vocabulary import OPTION_LETTERS, Cause, ProbeMethod
from boostqa.wilson import Z, wilson

NOT_SCORABLE = Rule("not_scorable", None)
NOT_SCORED = Rule("not_scored", Cause.NOT_SCORED)
RULES = (NOT_SCORABLE, NOT_SCORED)
KEY = ("checkpoint", "method", "discipline", "difficulty")


def usable(items: DataFrame, methods: Collection[str]) -> tuple[DataFrame, DataFrame]:
    """Items [item_id, question, choices, answer, lang, discipline, difficulty, ...] -> (those that one of `methods`
    scores, rejects).

    They are multiple choice, whose answer is the letter of one option as read_items gives it, or open, without options
    and with an answer; only `reference` scores open ones.
    """
    options, seen = F.coalesce(F.size("choices"), F.lit(0)), F.coalesce("answer", F.lit("null"))
    lettered_answer = F.array_contains(F.slice(F.array(*map(F.lit, OPTION_LETTERS)), 1, options), F.col("answer"))
    valid = (options >= 2) & (options <= len(OPTION_LETTERS)) & lettered_answer
    if ProbeMethod.REFERENCE in methods:
        valid |= (options == 0) & F.col("answer").rlike(r"\S")
    evidence = F.format_string(
        f"%s options, answer %s; methods {', '.join(sorted(methods))} need 2 to {len(OPTION_LETTERS)} options and the "
        "letter, index or text of one" + ", or an answer and no options" * (ProbeMethod.REFERENCE in methods),
        *(options, F.left(seen, F.lit(100))),
    )
    broken = F.when(~F.coalesce(valid, F.lit(False)), breaks_rule(NOT_SCORABLE, evidence))
    judged = items.withColumn("broken_rule", broken)
    return judged.where("broken_rule is null").drop("broken_rule"), reject_rows(judged, "probe", "item_id")


def scored_by(method: str, items: DataFrame) -> DataFrame:
    """Those of the usable items that `method` scores."""
    return items if method == ProbeMethod.REFERENCE else items.where(F.size("choices") > 0)


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


def _continued(rows: DataFrame, spec: ModelSpec) -> DataFrame:
    """Rows [item_id, lang, question, text, ...] -> requests for the log-probability of `text` after the bare question."""
    template, lang = prompts.load("probe"), F.col("lang")
    prompt = template.render(lang, question=F.col("question"), options=F.lit(""))
    continuation = F.concat(_space(lang), "text")
    requests = with_request(rows, "probe", spec, template, prompt, chat=False, continuation=continuation)
    return requests.drop("question", "text")


def cloze_requests(items: DataFrame, spec: ModelSpec) -> DataFrame:
    """One request an option: the log-probability of its text after the bare question; adds `option` (0-based)."""
    return _continued(
        items.select("item_id", "lang", "question", F.posexplode("choices").alias("option", "text")), spec
    )


def reference_requests(items: DataFrame, spec: ModelSpec) -> DataFrame:
    """One request an item: the log-probability of its answer, of a multiple-choice item the text of the right option
    (then the request is one of `cloze`); adds `bytes`, the answer's length in UTF-8."""
    right = F.get("choices", F.ascii("answer") - ord("A"))
    text = F.when(F.size("choices") > 0, right).otherwise(F.col("answer")).alias("text")
    rows = items.select("item_id", "lang", "question", text)
    return _continued(rows.withColumn("bytes", F.octet_length("text")), spec)


def _no_bits() -> Column:
    return F.lit(None).cast("double").alias("bits_per_byte")


def letter_picks(requests: DataFrame, completions: DataFrame) -> DataFrame:
    """[item_id, pick, bits_per_byte, request_ids]: the most likely letter; null where the request was not scored."""
    scores = requests.select("item_id", "request_id").join(
        completions.select("request_id", "choice_logprobs"), "request_id", "inner"
    )
    ranked = F.array_sort(
        F.transform(
            F.map_entries("choice_logprobs"), lambda e: F.struct((-e["value"]).alias("loss"), e["key"].alias("letter"))
        )
    )
    pick = F.get(ranked, F.lit(0))["letter"].alias("pick")
    return scores.select("item_id", pick, _no_bits(), F.array("request_id").alias("request_ids"))


def cloze_picks(requests: DataFrame, completions: DataFrame) -> DataFrame:
    """[item_id, pick, bits_per_byte, request_ids]: the letter of the option with the highest log-probability per
    character; null where one is missing."""
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
    return item.select("item_id", F.when(F.col("whole"), letter).alias("pick"), _no_bits(), "request_ids")


def reference_bits(requests: DataFrame, completions: DataFrame) -> DataFrame:
    """[item_id, pick, bits_per_byte, request_ids]: no pick; -log2 of the answer's likelihood / its bytes, null where it was
    not scored."""
    scored = requests.select("item_id", "bytes", "request_id").join(
        completions.select("request_id", "logprob"), "request_id", "inner"
    )
    bits = (-F.col("logprob") / log(2) / F.col("bytes")).alias("bits_per_byte")
    no_pick = F.lit(None).cast("string").alias("pick")
    return scored.select("item_id", no_pick, bits, F.array("request_id").alias("request_ids"))


def unscored(found: DataFrame) -> DataFrame:
    """Rejects for items without a score; `found` is [item_id, pick, bits_per_byte, request_ids, method, checkpoint]."""
    evidence = F.lit("a request of the item was refused or failed: see completion.error of stage probe")
    missing = found.where("pick is null and bits_per_byte is null").withColumns(
        {"key": F.concat_ws("#", "item_id", "method", "checkpoint"), "broken_rule": breaks_rule(NOT_SCORED, evidence)}
    )
    return reject_rows(missing, "probe", "key", F.col("request_ids"))


def scores(items: DataFrame, found: DataFrame) -> DataFrame:
    """Items (unique by item_id) and what was found of them [item_id, pick, bits_per_byte, request_ids, method, checkpoint,
    tokens_seen] -> PROBE rows but for `shrunk` and `shrink_weight`.

    The interval is Wilson's at 95%; the standard error of the bits is the deviation of the items / sqrt(items).
    """
    labelled = items.select("item_id", "discipline", "difficulty", "choices", "answer")
    scored = found.where("pick is not null or bits_per_byte is not null").join(labelled, "item_id", "inner")
    picked = F.col("pick").isNotNull()
    cell = scored.groupBy(*KEY, "tokens_seen").agg(
        F.count("*").alias("items"),
        F.sum((F.col("pick") == F.col("answer")).cast("long")).alias("correct"),
        F.avg(F.when(picked, 1 / F.size("choices"))).alias("chance"),
        F.avg("bits_per_byte").alias("bits_per_byte"),
        (F.stddev_samp("bits_per_byte") / F.sqrt(F.count("*"))).alias("bits_per_byte_se"),
        F.array_sort(F.flatten(F.collect_list("request_ids"))).alias("request_ids"),
    )
    rated = cell.withColumn("accuracy", F.col("correct") / F.col("items"))
    ends = zip(("wilson_low", "wilson_high"), wilson(F.col("accuracy"), F.col("items")), strict=True)
    judged = F.col("correct").isNotNull()
    return _with_slopes(rated.withColumns({name: F.when(judged, end) for name, end in ends}))


def _with_slopes(cells: DataFrame) -> DataFrame:
    """Adds slope, slope_low and slope_high: of accuracy per ln(tokens seen), over the checkpoints that had seen at most as
    much as the row's own; null with fewer than two.

    Weighted least squares on (correct + 1) / (items + 2), each with its binomial variance: with two checkpoints this is
    the interval of a difference of Agresti & Caffo 2000 (The American Statistician 54:280-288), which holds from a few
    items on and is never of width zero. The variances are known, so two points are enough, and the 95% of the interval are
    the normal distribution's. Checkpoints that answer the same items differ by less than it takes for granted: in
    simulations it covered the true slope in 95% (1 to 200 items, other items each time) to 99% (the same items).
    """
    seen = F.col("tokens_seen").isNotNull() & F.col("correct").isNotNull()
    x, y = F.when(seen, F.log("tokens_seen")), (F.col("correct") + 1) / (F.col("items") + 2)
    w = F.when(seen, (F.col("items") + 2) / (y * (1 - y)))
    series = Window.partitionBy("method", "discipline", "difficulty").orderBy("tokens_seen", "checkpoint")
    so_far = series.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    sums = {"w": w, "wx": w * x, "wy": w * y, "wxx": w * x * x, "wxy": w * x * y}
    cells = cells.withColumns({f"_{name}": F.sum(term).over(so_far) for name, term in sums.items()})
    cells = cells.withColumn("_series", F.min(x).over(so_far) < F.max(x).over(so_far))
    spread = F.col("_wxx") - F.col("_wx") * F.col("_wx") / F.col("_w")
    slope = (F.col("_wxy") - F.col("_wx") * F.col("_wy") / F.col("_w")) / spread
    known, half = seen & F.col("_series"), Z / F.sqrt(spread)
    ends = {"slope": slope, "slope_low": slope - half, "slope_high": slope + half}
    return cells.withColumns({name: F.when(known, value) for name, value in ends.items()}).drop(
        "_series", *(f"_{name}" for name in sums)
    )


def with_shrunk(cells: DataFrame, shrunk: DataFrame) -> DataFrame:
    """What `scores` gives and [*KEY, shrunk, shrink_weight] (unique by KEY) -> PROBE rows; both are null where `shrunk`
    lacks the cell."""
    return cells.join(shrunk, list(KEY), "left").select(*PROBE.schema.names)
