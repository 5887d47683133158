"""plan, seed -> draft, rejects. Grain: one synthesis request that gave a question. Key: draft_id.

A draft is parsed from JSON that the engine's structured output enforces, then measured by the same annotator as the
seeds. What may disappear: requests that failed, were truncated or cannot be parsed, drafts the annotator cannot place, and
(by conf) high_difficulty drafts measured below their aim.
"""

import json

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.config import Synthesize
from boostqa.requests import Speaker, request
from boostqa.schemas import DRAFT, PLAN
from boostqa.taxonomy import disciplines

STRATEGIES = ("multi_grade", "high_difficulty")
ANSWER = "question string, choices array<string>, solution string, answer string"

# How a model begins that declines the task, in any of the fields.
_REFUSAL = (
    r"(?i)^\W*(?:i(?:'|’)?m (?:very )?sorry|i(?: do|'m afraid i| am)? (?:can(?:no|')t|unable to) "
    r"(?:help|assist|comply|provide|create|write|generate|answer)|i apologi[sz]e|sorry, |as an ai\b)"
    r"|^\W*(?:很?抱歉|对不起|我(?:无法|不能)(?:回答|提供|生成|帮助|编写|协助)|作为(?:一[个名])?(?:AI|人工智能))"
)
# Control characters but tab and line ends, and what stands for bytes that are no UTF-8.
_INVALID = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F\x{FFFD}]"


def _schema(multiple_choice: bool) -> str:
    """JSON Schema of a draft; the solution stands before the answer, so that the model reasons first."""
    text = {"type": "string", "minLength": 1}
    choices = {"type": "array", "items": text, "minItems": 4, "maxItems": 4}
    fields = {"question": text, "solution": text, "answer": text}
    if multiple_choice:
        fields = {"question": text, "choices": choices, "solution": text, "answer": {"enum": ["A", "B", "C", "D"]}}
    schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    return json.dumps({"json": schema})


def shape(format: Column) -> Column:
    """`multiple_choice` or `open`: what the answer of a format looks like."""
    return F.when(format == "multiple_choice", "multiple_choice").otherwise("open")


def requests(plan: DataFrame, seeds: DataFrame, speaker: Speaker, conf: Synthesize) -> DataFrame:
    """PLAN rows with their seed's text (seeds unique by seed_id) -> PLAN and REQUEST columns, one request a plan row."""
    rows = plan.join(seeds.select("seed_id", "text"), "seed_id", "inner")
    lang = F.col("lang")
    names = F.create_map(
        *(F.lit(x) for d in disciplines() for x in (d.code, F.struct(F.lit(d.name["en"]), F.lit(d.name["zh"]))))
    )
    name = F.try_element_at(names, F.col("discipline"))
    said = {
        "grade": prompts.say("grade", F.col("grade"), lang),
        "discipline": F.when(lang == "zh", name["col2"]).otherwise(name["col1"]),
        "format": prompts.say("format", F.col("format"), lang),
        "text": F.col("text"),
        "fields": prompts.say("fields", shape(F.col("format")), lang),
    }
    structured = F.when(F.col("format") == "multiple_choice", _schema(True)).otherwise(_schema(False))
    parts = []
    for strategy in STRATEGIES:
        prompt = prompts.load(strategy)
        lever = {"lever": prompts.say("lever", F.col("lever"), lang)} if strategy == "high_difficulty" else {}
        chosen = rows.where(F.col("strategy") == strategy)
        text = prompt.render(lang, **said, **lever)
        index = F.col("sample_index")
        parts.append(
            request(
                chosen, "synthesize", speaker, prompt, text, conf.sampling, structured=structured, sample_index=index
            )
        )
    return parts[0].unionByName(parts[1]).drop("text")


def _rejects(rows: DataFrame, key: str) -> DataFrame:
    return rows.where(F.col("rule").isNotNull()).select(
        F.lit("synthesize").alias("stage"),
        F.col(key).alias("key"),
        "rule",
        "evidence",
        F.array("request_id").alias("request_ids"),
    )


def parse(asked: DataFrame, completions: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Requests and the ledger (unique by request_id) -> (DRAFT columns without difficulty, rejects).

    Reject rules, key plan_id, the first that applies: `generation_failed`, `truncated`, `empty`, `invalid_text`,
    `refusal`, `unparsable`, `choices_invalid`.
    """
    answers = completions.select("request_id", "text", "finish_reason", "error")
    rows = asked.select(*PLAN.schema.names, "request_id", "model").join(answers, "request_id", "inner")
    rows = rows.withColumn("json", F.from_json("text", ANSWER))
    field = {c: F.nullif(F.trim(F.col("json")[c]), F.lit("")) for c in ("question", "solution", "answer")}
    choices = F.when(F.col("format") == "multiple_choice", F.transform(F.col("json")["choices"], lambda c: F.trim(c)))
    rows = rows.withColumns({**field, "choices": choices})
    distinct = F.size(F.array_distinct(F.filter("choices", lambda c: F.length(c) > 0)))
    wrong_choices = (F.col("format") == "multiple_choice") & (F.coalesce(distinct, F.lit(0)) != 4)
    incomplete = F.col("question").isNull() | F.col("solution").isNull() | F.col("answer").isNull()
    said = F.concat(F.array("text", *field), F.coalesce("choices", F.array()))

    def any_like(pattern: str) -> Column:
        return F.coalesce(F.exists(F.array_compact(said), lambda t: t.rlike(pattern)), F.lit(False))

    rule = (
        F.when(F.col("finish_reason").isin("refused", "failed"), "generation_failed")
        .when(F.col("finish_reason") == "length", "truncated")
        .when(~F.col("text").rlike(r"\S"), "empty")
        .when(any_like(_INVALID), "invalid_text")
        .when(any_like(_REFUSAL), "refusal")
        .when(incomplete, "unparsable")
        .when(wrong_choices, "choices_invalid")
    )
    shown = F.when(rule == "generation_failed", F.coalesce("error", "finish_reason"))
    shown = shown.when(rule == "choices_invalid", F.to_json("choices")).otherwise(F.substring("text", 1, 300))
    judged = rows.withColumns({"rule": rule, "evidence": F.coalesce(shown, F.lit("")), "generator": F.col("model")})
    judged = judged.withColumn("draft_id", F.sha2(F.concat_ws("|", "plan_id", "request_id"), 256))
    names = [c for c in DRAFT.schema.names if c != "difficulty"]
    return judged.where(F.col("rule").isNull()).select(*names), _rejects(judged, "plan_id")


def as_items(drafts: DataFrame) -> DataFrame:
    """[item_id, lang, text] of parsed drafts for the annotator: question, options, solution and answer, as a seed shows them."""
    letters = F.array(*map(F.lit, "ABCDEFGHIJ"))
    options = F.transform("choices", lambda c, i: F.concat(F.get(letters, i), F.lit(". "), c))
    text = F.concat_ws("\n", "question", F.array_join(options, "\n"), "solution", "answer")
    return drafts.select(F.col("draft_id").alias("item_id"), "lang", text.alias("text"))


def measured(
    drafts: DataFrame, labels: DataFrame, unlabelled: DataFrame, conf: Synthesize
) -> tuple[DataFrame, DataFrame]:
    """Parsed drafts, their ANNOTATION rows (unique by item_id) and the rejects of those without a label (unique by key) ->
    (DRAFT rows, rejects with key draft_id: `below_aim`, and the unlabelled ones with the draft's own request added).
    """
    labels = labels.select(F.col("item_id").alias("draft_id"), "difficulty")
    rows = drafts.join(labels, "draft_id", "inner")
    below = (
        (F.col("strategy") == "high_difficulty")
        & (F.col("difficulty") < F.col("grade"))
        & F.lit(conf.below_aim == "reject")
    )
    evidence = F.format_string("aimed at %s, measured %s", "grade", "difficulty")
    judged = rows.withColumns({"rule": F.when(below, "below_aim"), "evidence": evidence})
    own = drafts.select(F.col("draft_id").alias("key"), F.array("request_id").alias("own"))
    unplaced = unlabelled.join(own, "key", "inner").withColumn("request_ids", F.concat("own", "request_ids"))
    rejects = _rejects(judged, "draft_id").unionByName(unplaced.drop("own"))
    return judged.where(F.col("rule").isNull()).select(*DRAFT.schema.names), rejects
