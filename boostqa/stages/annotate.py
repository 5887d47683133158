"""item -> annotation, rejects. Grain: one item (seed, draft or probe item). Key: item_id.

Two requests an item, discipline and difficulty, each answered by constrained decoding, so that every completion is a
label and its probability is known. The disciplines are not listed in the prompt: the constraint holds them, the list
would cost 600 tokens an item, and the demo's model labelled 13 of 44 English probe items right without it against 3
with it (26 against 8 in the broad field). Items whose discipline is known otherwise (by the distilled annotator) are asked for their
difficulty alone. What may disappear: items the annotator cannot tell, items whose request
failed.
"""

import json

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.config import Annotate, Sampling
from boostqa.languages import LANGUAGES, in_language
from boostqa.schemas import ANNOTATION
from boostqa.stages.rejects import Check, Rule, first_broken, reject_rows
from boostqa.taxonomy import CANNOT_TELL, disciplines
from boostqa.vocabulary import GRADES, Cause, FinishReason, ItemTable

LABEL = Sampling(temperature=0.0, top_p=1.0, max_tokens=64)
ANNOTATION_FAILED = Rule("annotation_failed", Cause.UNLABELLED)
DISCIPLINE_CANNOT_TELL = Rule("discipline_cannot_tell", Cause.UNLABELLED)
DIFFICULTY_CANNOT_TELL = Rule("difficulty_cannot_tell", Cause.UNLABELLED)
RULES = (ANNOTATION_FAILED, DISCIPLINE_CANNOT_TELL, DIFFICULTY_CANNOT_TELL)
_LABELS = ("discipline", "difficulty")


def _choices(label: str, lang: str) -> list[str]:
    """The names an annotator may choose from."""
    names = [d.name[lang] for d in disciplines()] if label == "discipline" else list(GRADES)
    return [*names, CANNOT_TELL[lang]]


def requests(
    items: DataFrame, stage: str, spec: ModelSpec, conf: Annotate, known: DataFrame | None = None
) -> DataFrame:
    """`items` [item_id, lang, text] -> REQUEST columns with item_id and `label` (discipline | difficulty).

    Items in `known` (unique by item_id) are not asked for their discipline.
    """
    lang, text = F.col("lang"), F.substring("text", 1, conf.max_characters)
    rows, starts = items.select("item_id", "lang", "text"), prompts.terms("reply_start")
    parts = []
    for label in _LABELS:
        template = prompts.load(f"annotate_{label}")
        choice = {key: json.dumps({"choice": _choices(label, key)}, ensure_ascii=False) for key in LANGUAGES}
        asked = rows if known is None or label != "discipline" else rows.join(known, "item_id", "left_anti")
        part = with_request(
            asked.withColumn("label", F.lit(label)),
            *(stage, spec, template, template.render(lang, text=text), LABEL),
            structured=in_language(lang, choice["zh"], choice["en"]),
            reply_start={key: starts[key][label] for key in starts},
        )
        parts.append(part)
    return parts[0].unionByName(parts[1]).drop("lang", "text")


def by_item(requests: DataFrame, completions: DataFrame) -> DataFrame:
    """Requests and the ledger -> one row an item: code and probability of each label (null where it was not asked for),
    `failure`, `request_ids`, `annotator`."""
    codes = {d.name[key]: d.code for d in disciplines() for key in d.name} | {g: g for g in GRADES}
    code_of_name = F.create_map(*(F.lit(x) for pair in codes.items() for x in pair))
    answers = completions.select("request_id", "text", "logprob", "finish_reason", "error")
    labelled = requests.select("item_id", "label", "request_id", "model").join(answers, "request_id", "inner")
    labelled = labelled.withColumns(
        {"code": F.try_element_at(code_of_name, F.trim("text")), "probability": F.exp("logprob")}
    )

    def of(label: str, column: str) -> Column:
        return F.max(F.when(F.col("label") == label, F.col(column))).alias(f"{label}_{column}")

    unfinished = F.col("finish_reason") != FinishReason.STOP
    return labelled.groupBy("item_id").agg(
        *(of(label, column) for label in _LABELS for column in ("code", "probability")),
        F.max(F.when(unfinished, F.concat_ws(": ", "finish_reason", "error"))).alias("failure"),
        F.array_sort(F.collect_list("request_id")).alias("request_ids"),
        F.max("model").alias("annotator"),
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


def parse(
    requests: DataFrame, completions: DataFrame, item_table: ItemTable, stage: str, known: DataFrame | None = None
) -> tuple[DataFrame, DataFrame]:
    """Requests (two an item, one of those in `known`) and the ledger (unique by request_id) -> (ANNOTATION rows, rejects
    with key item_id). `known` [item_id, discipline, discipline_probability, annotator] is unique by item_id.

    Rules: `annotation_failed` (a request was refused or failed), `discipline_cannot_tell`, `difficulty_cannot_tell`.
    """
    cannot_tell = F.format_string("annotator %s chose none of the labels", "annotator")
    checks = (
        Check(ANNOTATION_FAILED, F.col("failure").isNotNull(), F.col("failure")),
        Check(DISCIPLINE_CANNOT_TELL, F.col("discipline_code").isNull(), cannot_tell),
        Check(DIFFICULTY_CANNOT_TELL, F.col("difficulty_code").isNull(), cannot_tell),
    )
    judged = by_item(requests, completions)
    judged = judged if known is None else _with_known(judged, known)
    judged = judged.withColumn("broken_rule", first_broken(checks))
    kept = judged.where("broken_rule is null").withColumns(
        {
            "item_table": F.lit(item_table),
            "discipline": F.col("discipline_code"),
            "difficulty": F.col("difficulty_code"),
        }
    )
    return kept.select(*ANNOTATION.schema.names), reject_rows(judged, stage, "item_id", F.col("request_ids"))
