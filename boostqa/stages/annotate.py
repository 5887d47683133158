"""item -> annotation, rejects. Grain: one item (seed, draft or probe item). Key: item_id.

Two requests an item, discipline and difficulty. Each is a choice among short labels, of which the engine gives the whole
distribution (udfs/engines/messages.py); a label's probability is its share of it. The labels are words that say what they
mean and are not listed in the prompt: so they have no order that could matter, and small models, which do not bind a
letter to a line of a list, can name them. A discipline is found in two steps, the most probable broad field, then the
most probable detailed field of it. Some chunks of a document vote for its one discipline; difficulty is each one's own,
the level next to the expected one, after each probability was divided by what the level has for a text that says nothing
(Zhao et al. 2021, "Calibrate before use"): else a model gives one level to nearly all.

Items whose discipline is known otherwise (by their source, by the distilled annotator, by the plan) are asked for their
difficulty alone. What may disappear: items the annotator cannot tell, or is not sure enough of, items whose request failed.
"""

import json

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.config import Annotate, Sampling
from boostqa.languages import LANGUAGES, in_language
from boostqa.lookup import literal_map
from boostqa.schemas import ANNOTATION
from boostqa.stages.rejects import Check, Rule, first_broken, reject_rows
from boostqa.taxonomy import CANNOT_TELL, discipline_of, disciplines
from boostqa.vocabulary import Cause, FinishReason, ItemTable

LABEL = Sampling(temperature=0.0, top_p=1.0, max_tokens=64)
ANNOTATION_FAILED = Rule("annotation_failed", Cause.UNLABELLED)
DISCIPLINE_CANNOT_TELL = Rule("discipline_cannot_tell", Cause.UNLABELLED)
DIFFICULTY_CANNOT_TELL = Rule("difficulty_cannot_tell", Cause.UNLABELLED)
RULES = (ANNOTATION_FAILED, DISCIPLINE_CANNOT_TELL, DIFFICULTY_CANNOT_TELL)
GIVEN = "given"
BLANK_TEMPLATE = "annotate_blank"  # of requests of no item
_LABELS = ("discipline", "difficulty")
_BLANK = ("N/A", "...", "[text]")  # texts that say nothing
_LEAST = 1e-3  # probability of a label for these
_KNOWN = ("item_id", "discipline", "discipline_probability", "annotator")


def labels(label: str, lang: str) -> dict[str, str]:
    """What an annotator may answer -> the code that it means; "cannot tell" has none. English words follow a space."""
    said = {d.label[lang]: d.code for d in disciplines()} if label == "discipline" else _levels(lang)
    space = "" if lang == "zh" else " "
    return {space + word: code for word, code in said.items()} | {space + CANNOT_TELL[lang]: ""}


def _levels(lang: str) -> dict[str, str]:
    return {word: grade for grade, word in prompts.terms("level")[lang].items()}


def items_of(rows: DataFrame, item_id: str) -> DataFrame:
    """Seeds, drafts or probe items -> [item_id, document, title, lang, text]; what has no document is one by itself."""
    has = set(rows.columns)
    document = F.concat_ws("/", "source", "doc_id") if {"source", "doc_id"} <= has else F.col(item_id)
    title = F.col("title") if "title" in has else F.lit(None).cast("string")
    return rows.select(
        F.col(item_id).alias("item_id"), document.alias("document"), title.alias("title"), "lang", "text"
    )


def given(seeds: DataFrame) -> DataFrame:
    """Seeds [seed_id, subject] -> those whose source names a discipline [item_id, discipline, discipline_probability,
    annotator]."""
    named = seeds.select(F.col("seed_id").alias("item_id"), discipline_of(F.col("subject")).alias("discipline"))
    return known(named.where(F.col("discipline").isNotNull()), GIVEN)


def known(named: DataFrame, by: str) -> DataFrame:
    """[item_id, discipline] -> what `requests` and `parse` take as known for sure, and by whom."""
    return named.withColumns({"discipline_probability": F.lit(1.0), "annotator": F.lit(by)}).select(*_KNOWN)


def one_a_document(items: DataFrame, said: DataFrame) -> DataFrame:
    """Items [item_id, document] and what was said of some of them [item_id, discipline, discipline_probability] (both
    unique by item_id) -> the same of these, all items of a document with the discipline that has the highest sum of
    probabilities; its probability is their mean."""
    votes = items.select("item_id", "document").join(said, "item_id", "inner")
    per = Window.partitionBy("document")
    sums = votes.withColumn("items", F.count("*").over(per)).groupBy("document", "discipline", "items")
    mean = sums.agg((F.sum("discipline_probability") / F.col("items")).alias("p"))
    best = mean.groupBy("document").agg(F.max(F.struct("p", "discipline")).alias("best"))
    return (
        votes.select("item_id", "document")
        .join(best, "document", "inner")
        .select(  # unique by document
            "item_id", F.col("best.discipline").alias("discipline"), F.col("best.p").alias("discipline_probability")
        )
    )


def _voters(items: DataFrame, votes: int, known: DataFrame | None) -> DataFrame:
    unknown = items if known is None else items.join(known, "item_id", "left_anti")
    lot = Window.partitionBy("document").orderBy(F.xxhash64("item_id"), "item_id")
    return unknown.withColumn("place", F.row_number().over(lot)).where(F.col("place") <= votes).drop("place")


def requests(
    items: DataFrame, stage: str, spec: ModelSpec, conf: Annotate, known: DataFrame | None = None
) -> DataFrame:
    """Rows of `items_of` -> REQUEST columns with item_id, document, lang (of the prompt) and `label` (discipline |
    difficulty); and a few of no item, of texts that say nothing.

    Items in `known` (unique by item_id) are not asked for their discipline, and of the others of a document
    `conf.votes` are, by hash.
    """
    lang, text = F.col("lang"), F.substring("text", 1, conf.max_characters)
    titled = F.concat(prompts.wording("part", F.lit("title"), lang), "title", F.lit("\n"))
    items = items.withColumn("lang", in_language(lang, "zh", "en"))
    nothing = F.explode(F.array(*map(F.lit, _BLANK))).alias("text")
    null = (F.lit(None).cast("string").alias(c) for c in ("item_id", "document", "title"))
    blank = items.select("lang").distinct().select(*null, "lang", nothing)
    asked_of = {"discipline": _voters(items, conf.votes, known), "difficulty": items.unionByName(blank)}
    starts, parts = prompts.terms("reply_start"), []
    for label in _LABELS:
        template = prompts.load(f"annotate_{label}")
        choice = {key: json.dumps({"choice": list(labels(label, key))}, ensure_ascii=False) for key in LANGUAGES}
        part = with_request(
            asked_of[label].withColumn("label", F.lit(label)),
            *(stage, spec, template, template.render(lang, title=F.coalesce(titled, F.lit("")), text=text), LABEL),
            structured=in_language(lang, choice["zh"], choice["en"]),
            reply_start={key: starts[key][label] for key in starts},
        )
        parts.append(part)
    named = F.when(F.col("item_id").isNull(), BLANK_TEMPLATE).otherwise(F.col("template"))
    return parts[0].unionByName(parts[1]).drop("title", "text").withColumn("template", named)


def _distributions(answers: DataFrame) -> DataFrame:
    """Requests with their completions -> [label, unit, lang, code, p]: the mean of the distributions of a unit, which is a
    document for its discipline, an item for its difficulty, and null for the texts of a language that say nothing; code
    empty: cannot tell."""
    code_of = {
        said.strip(): code for label in _LABELS for lang in LANGUAGES for said, code in labels(label, lang).items()
    }
    codes = literal_map(code_of)
    # Of a served model only its one answer is known, and at best the probability of that: nothing is calibrated by it.
    answers = answers.where("item_id is not null or choice_logprobs is not null")
    scores = F.coalesce("choice_logprobs", F.create_map("text", F.coalesce("logprob", F.lit(0.0))))
    by_document = F.col("label") == "discipline"
    unit = F.when(by_document, F.col("document")).otherwise(F.col("item_id")).alias("unit")
    key = ["label", "unit", "lang"]
    whole = answers.where(F.col("finish_reason") == FinishReason.STOP).select(
        "label", unit, F.when(~by_document, F.col("lang")).alias("lang"), scores.alias("scores")
    )
    votes = whole.withColumn("votes", F.count("*").over(Window.partitionBy(*key)))
    said = votes.select(*key, "votes", F.explode("scores").alias("said", "logprob"))
    code = F.coalesce(F.try_element_at(codes, F.trim("said")), F.lit("")).alias("code")
    return said.groupBy(*key, code).agg(F.sum(F.exp("logprob") / F.col("votes")).alias("p"))


def _calibrated(shares: DataFrame) -> DataFrame:
    """`_distributions` -> [label, unit, code, p] of documents and items, each difficulty's p in proportion to what it has
    more than for texts that say nothing."""
    key = ["label", "lang", "code"]
    blank = shares.where("unit is null").select(*key, F.col("p").alias("blank"))  # unique by key
    # A discipline has no lang and is left as it is: there this made labels worse.
    rows = shares.where("unit is not null").join(blank, key, "left")
    unit = Window.partitionBy("label", "unit")
    rate = F.when(F.col("blank").isNotNull(), F.col("p") / F.greatest("blank", F.lit(_LEAST)))
    rows = rows.withColumn("rate", rate).withColumn("rates", F.sum("rate").over(unit))
    return rows.select("label", "unit", "code", F.coalesce(F.col("rate") / F.col("rates"), "p").alias("p"))


def _judged(answers: DataFrame) -> DataFrame:
    """[label, unit, code, p, expected], unique by the first two.

    The code is of a discipline the most probable of the most probable broad field, of a difficulty the level next to the
    expected one (1..5); null where "cannot tell" is more probable, as a field or as half of all.
    """
    shares, unit = _calibrated(_distributions(answers)), Window.partitionBy("label", "unit")
    is_level, level = F.col("code").startswith("H"), F.substring("code", 2, 1).try_cast("double")
    field = F.sum("p").over(Window.partitionBy("label", "unit", F.substring("code", 1, 2)))
    levels = F.when(is_level, F.col("p"))
    expected = F.sum(F.when(is_level, level * F.col("p"))).over(unit) / F.sum(levels).over(unit)
    near = F.when(is_level, -F.abs(level - F.col("expected"))).when(F.col("p") > 0.5, 1.0)
    rank = F.when(F.col("label") == "discipline", F.col("field")).otherwise(near).alias("rank")
    best = (
        shares.withColumns({"field": field, "expected": expected})
        .groupBy("label", "unit", "expected")
        .agg(F.max(F.struct(rank, "p", "code")).alias("best"))
    )
    return best.select("label", "unit", F.nullif("best.code", F.lit("")).alias("code"), "best.p", "expected")


def by_item(requests: DataFrame, completions: DataFrame, conf: Annotate) -> DataFrame:
    """Requests and the ledger -> one row an item: code and probability of each label (null where it was not asked for),
    `difficulty_expected`, `failure`, `request_ids`, `annotator`.

    A discipline under `conf.min_llm_probability` is in `discipline_best`, and its code is null.
    """
    answers = requests.select("item_id", "document", "lang", "label", "request_id", "model").join(
        completions.select("request_id", "text", "logprob", "choice_logprobs", "finish_reason", "error"), "request_id", "inner"
    )  # fmt: skip
    judged, unfinished = _judged(answers), F.col("finish_reason") != FinishReason.STOP
    items = (
        answers.where("item_id is not null")
        .groupBy("item_id")
        .agg(
            F.max("document").alias("document"),
            F.max(F.when(unfinished, F.concat_ws(": ", "finish_reason", "error"))).alias("failure"),
            F.array_sort(F.collect_list("request_id")).alias("request_ids"),
            F.max("model").alias("annotator"),
        )
    )

    def of(label: str, unit: str) -> DataFrame:
        own = judged.where(F.col("label") == label)
        return own.select(F.col("unit").alias(unit), F.struct("code", "p", "expected").alias(label))

    labelled = items.join(of("discipline", "document"), "document", "left")  # unique by unit
    sure = F.col("discipline.p") >= conf.min_llm_probability
    return labelled.join(of("difficulty", "item_id"), "item_id", "left").select(
        *("item_id", "failure", "request_ids", "annotator"),
        F.when(sure, F.col("discipline.code")).alias("discipline_code"),
        F.col("discipline.code").alias("discipline_best"),
        F.col("discipline.p").alias("discipline_probability"),
        F.col("difficulty.code").alias("difficulty_code"),
        F.col("difficulty.p").alias("difficulty_probability"),
        F.col("difficulty.expected").alias("difficulty_expected"),
    )


def _with_known(judged: DataFrame, known: DataFrame) -> DataFrame:
    """With the discipline that is known of an item in place of the one that was not asked for."""
    other = known.select(
        "item_id", "discipline", F.col("discipline_probability").alias("probability"), F.col("annotator").alias("by")
    )
    return judged.join(other, "item_id", "left").withColumns(
        {
            "discipline_code": F.coalesce("discipline", "discipline_code"),
            "discipline_probability": F.coalesce("probability", "discipline_probability"),
            "annotator": F.concat_ws(" + ", "by", "annotator"),
        }
    )


def parse(requests: DataFrame, completions: DataFrame, conf: Annotate, known: DataFrame | None = None) -> DataFrame:
    """Requests (of `requests`) and the ledger (unique by request_id) -> one row an item: `by_item` with `broken_rule`, null
    where it is labelled; `labels_and_rejects` parts the rows, which the caller stores. `known` [item_id, discipline,
    discipline_probability, annotator] is unique by item_id.

    Rules: `annotation_failed` (a request was refused or failed), `discipline_cannot_tell` (also: not sure enough),
    `difficulty_cannot_tell`.
    """
    cannot_tell = F.format_string("annotator %s chose none of the labels", "annotator")
    unsure = F.format_string(
        f"annotator %s gives its best label, %s, a probability of %.2f, less than {conf.min_llm_probability}",
        *("annotator", "discipline_best", "discipline_probability"),
    )
    no_discipline = F.when(F.col("discipline_best").isNotNull(), unsure).otherwise(cannot_tell)
    checks = (
        Check(ANNOTATION_FAILED, F.col("failure").isNotNull(), F.col("failure")),
        Check(DISCIPLINE_CANNOT_TELL, F.col("discipline_code").isNull(), no_discipline),
        Check(DIFFICULTY_CANNOT_TELL, F.col("difficulty_code").isNull(), cannot_tell),
    )
    judged = by_item(requests, completions, conf)
    judged = judged if known is None else _with_known(judged, known)
    return judged.withColumn("broken_rule", first_broken(checks))


def labels_and_rejects(parsed: DataFrame, item_table: ItemTable, stage: str) -> tuple[DataFrame, DataFrame]:
    """(ANNOTATION rows, rejects with key item_id) of `parse`d rows."""
    codes = {"discipline": F.col("discipline_code"), "difficulty": F.col("difficulty_code")}
    kept = parsed.where("broken_rule is null").withColumns({"item_table": F.lit(item_table)} | codes)
    return kept.select(*ANNOTATION.schema.names), reject_rows(parsed, stage, "item_id", F.col("request_ids"))
