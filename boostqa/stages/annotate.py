"""item -> annotation, rejects. Grain: one item (seed, draft or probe item). Key: item_id.

Two requests an item, discipline and difficulty, each answered by constrained decoding, so that every completion is a
label and its probability is known. The disciplines are not listed in the prompt: the constraint holds them, the list
would cost 600 tokens an item, and the demo's model labelled 13 of 44 English probe items right without it against 3 with
it (26 against 8 in the broad field). What may disappear: items the annotator cannot tell, items whose request failed.
"""

import json

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.config import Annotate, Sampling
from boostqa.requests import Speaker, request
from boostqa.schemas import ANNOTATION, GRADES
from boostqa.taxonomy import CANNOT_TELL, disciplines

LABEL = Sampling(temperature=0.0, top_p=1.0, max_tokens=64)


def _choice(lang: Column, names: dict[str, list[str]]) -> Column:
    said = {key: F.lit(json.dumps({"choice": [*names[key], CANNOT_TELL[key]]}, ensure_ascii=False)) for key in names}
    return F.when(lang == "zh", said["zh"]).otherwise(said["en"])


def requests(items: DataFrame, stage: str, speaker: Speaker, conf: Annotate) -> DataFrame:
    """`items` [item_id, lang, text] -> REQUEST columns with item_id and `label` (discipline | difficulty)."""
    lang, text = F.col("lang"), F.substring("text", 1, conf.max_characters)
    rows, starts = items.select("item_id", "lang", "text"), prompts.terms("reply_start")
    names = {key: [d.name[key] for d in disciplines()] for key in prompts.LANGUAGES}
    labels = {"discipline": names, "difficulty": {key: list(GRADES) for key in prompts.LANGUAGES}}
    parts = []
    for label, choices in labels.items():
        prompt = prompts.load(f"annotate_{label}")
        said, start = prompt.render(lang, text=text), {key: starts[key][label] for key in starts}
        asked = rows.withColumn("label", F.lit(label))
        structured = _choice(lang, choices)
        parts.append(request(asked, stage, speaker, prompt, said, LABEL, structured=structured, reply_start=start))
    return parts[0].unionByName(parts[1]).drop("lang", "text")


def parse(asked: DataFrame, completions: DataFrame, item_table: str, stage: str) -> tuple[DataFrame, DataFrame]:
    """Requests and the ledger -> (ANNOTATION rows, rejects).

    `asked` holds two requests an item; `completions` is unique by request_id. Reject rules: `annotation_failed` (the
    request was refused or failed), `discipline_cannot_tell`, `difficulty_cannot_tell`.
    """
    answers = completions.select("request_id", "text", "logprob", "finish_reason", "error")
    codes = {d.name[key]: d.code for d in disciplines() for key in d.name} | {g: g for g in GRADES}
    code = F.try_element_at(F.create_map(*(F.lit(x) for pair in codes.items() for x in pair)), F.trim("text"))
    labelled = asked.select("item_id", "label", "request_id", "model").join(answers, "request_id", "inner")
    labelled = labelled.withColumns({"code": code, "probability": F.exp("logprob")})

    def of(label: str, column: str) -> Column:
        return F.max(F.when(F.col("label") == label, F.col(column)))

    items = labelled.groupBy("item_id").agg(
        *(
            of(label, c).alias(f"{label}_{c}")
            for label in ("discipline", "difficulty")
            for c in ("code", "probability")
        ),
        F.max(F.when(~F.col("finish_reason").isin("stop"), F.concat_ws(": ", "finish_reason", "error"))).alias(
            "failure"
        ),
        F.array_sort(F.collect_list("request_id")).alias("request_ids"),
        F.max("model").alias("annotator"),
    )
    rule = (
        F.when(F.col("failure").isNotNull(), "annotation_failed")
        .when(F.col("discipline_code").isNull(), "discipline_cannot_tell")
        .when(F.col("difficulty_code").isNull(), "difficulty_cannot_tell")
    )
    judged = items.withColumn("rule", rule)
    kept = judged.where(F.col("rule").isNull()).select(
        "item_id",
        F.lit(item_table).alias("item_table"),
        F.col("discipline_code").alias("discipline"),
        "discipline_probability",
        F.col("difficulty_code").alias("difficulty"),
        "difficulty_probability",
        "annotator",
        "request_ids",
    )
    rejects = judged.where(F.col("rule").isNotNull()).select(
        F.lit(stage).alias("stage"),
        F.col("item_id").alias("key"),
        "rule",
        F.coalesce("failure", F.format_string("annotator %s chose none of the labels", "annotator")).alias("evidence"),
        "request_ids",
    )
    return kept.select(*ANNOTATION.schema.names), rejects
