"""plan, seed -> draft, rejects. Grain: one synthesis request that gave a question. Key: draft_id.

A draft is parsed from JSON that the engine's structured output enforces, then measured by the same annotator as the
seeds. What may disappear: requests that failed, were truncated or cannot be parsed, drafts the annotator cannot place,
and (by conf) high_difficulty drafts measured below their aim.
"""

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.config import Synthesize
from boostqa.schemas import DRAFT, PLAN
from boostqa.stages.rejects import Check, Rule, breaks_rule, first_broken, reject_rows
from boostqa.stages.replies import with_fields
from boostqa.stages.wording import TEXT, answer_shape, bare_options, is_multiple_choice, json_constraint, lettered
from boostqa.taxonomy import discipline_name
from boostqa.vocabulary import DRAFT_LETTERS, UNUSABLE, Cause, FinishReason, Strategy

GENERATION_FAILED = Rule("generation_failed", Cause.GENERATION_FAILED)
TRUNCATED = Rule("truncated", Cause.TRUNCATION)
EMPTY = Rule("empty", Cause.PARSE_FAILURE)
BROKEN_TEXT = Rule("broken_text", Cause.PARSE_FAILURE)
REFUSAL = Rule("refusal", Cause.PARSE_FAILURE)
UNPARSABLE = Rule("unparsable", Cause.PARSE_FAILURE)
CHOICES_INVALID = Rule("choices_invalid", Cause.PARSE_FAILURE)
BELOW_AIM = Rule("below_aim", Cause.DEGRADATION)
RULES = (GENERATION_FAILED, TRUNCATED, EMPTY, BROKEN_TEXT, REFUSAL, UNPARSABLE, CHOICES_INVALID, BELOW_AIM)

# How a model begins that declines the task, in any of the fields.
_REFUSAL = (
    r"(?i)^\W*(?:i(?:'|’)?m (?:very )?sorry|i(?: do|'m afraid i| am)? (?:can(?:no|')t|unable to) "
    r"(?:help|assist|comply|provide|create|write|generate|answer)|i apologi[sz]e|sorry, |as an ai\b)"
    r"|^\W*(?:很?抱歉|对不起|我(?:无法|不能)(?:回答|提供|生成|帮助|编写|协助)|作为(?:一[个名])?(?:AI|人工智能))"
)


def _constraint(multiple_choice: bool) -> str:
    """What a draft is made of; the solution stands before the answer, so that the model reasons first."""
    if not multiple_choice:
        return json_constraint({"question": TEXT, "solution": TEXT, "answer": TEXT})
    options, letters = len(DRAFT_LETTERS), {"enum": list(DRAFT_LETTERS)}
    choices = {"type": "array", "items": TEXT, "minItems": options, "maxItems": options}
    return json_constraint({"question": TEXT, "choices": choices, "solution": TEXT, "answer": letters})


def _word_values(strategy: Strategy) -> dict[str, Column]:
    """The values of a strategy's template, from PLAN rows with their seed's text, in the row's language."""
    lang = F.col("lang")
    values = {
        "grade": prompts.wording("grade", F.col("grade"), lang),
        "discipline": discipline_name(F.col("discipline"), lang),
        "format": prompts.wording("format", F.col("format"), lang),
        "text": F.col("text"),
        "fields": prompts.wording("fields", answer_shape(), lang),
    }
    if strategy == Strategy.HIGH_DIFFICULTY:
        values["lever"] = prompts.wording("lever", F.col("lever"), lang)
    return values


def requests(plan: DataFrame, seeds: DataFrame, spec: ModelSpec, conf: Synthesize) -> DataFrame:
    """PLAN rows with their seed's text (seeds unique by seed_id) -> PLAN and REQUEST columns, one request a plan
    row."""
    rows = plan.join(seeds.select("seed_id", "text"), "seed_id", "inner")
    structured = F.when(is_multiple_choice(), _constraint(True)).otherwise(_constraint(False))
    parts = []
    for strategy in Strategy:
        template = prompts.load(strategy)
        part = with_request(
            rows.where(F.col("strategy") == strategy),
            *("synthesize", spec, template, template.render(F.col("lang"), **_word_values(strategy)), conf.sampling),
            structured=structured,
            sample_index=F.col("sample_index"),
        )
        parts.append(part)
    return parts[0].unionByName(parts[1]).drop("text")


def _with_fields(requests: DataFrame, completions: DataFrame, control_tokens: Iterable[str]) -> DataFrame:
    """PLAN columns, request_id, generator, `text`, `finish_reason`, `error`, and what replies.with_fields reads."""
    answers = completions.select("request_id", "text", "finish_reason", "error")
    rows = requests.select(*PLAN.schema.names, "request_id", F.col("model").alias("generator"))
    rows = with_fields(rows.join(answers, "request_id", "inner"), control_tokens)
    return rows.withColumn("choices", F.when(is_multiple_choice(), bare_options(F.col("choices"))))


def _draft_checks() -> tuple[Check, ...]:
    texts = F.concat(F.array("text", "question", "solution", "answer"), F.coalesce("choices", F.array()))

    def any_like(pattern: str) -> Column:
        return F.exists(F.array_compact(texts), lambda t: t.rlike(pattern))

    reason, beginning = F.col("finish_reason"), F.substring("text", 1, 300)
    incomplete = F.col("question").isNull() | F.col("solution").isNull() | F.col("answer").isNull()
    options = F.size(F.array_distinct(F.filter("choices", lambda c: F.length(c) > 0)))
    wrong_options = is_multiple_choice() & (F.coalesce(options, F.lit(0)) != len(DRAFT_LETTERS))
    return (
        Check(GENERATION_FAILED, reason.isin(*UNUSABLE), F.coalesce("error", "finish_reason")),
        Check(TRUNCATED, reason == FinishReason.LENGTH, beginning),
        Check(EMPTY, ~F.col("text").rlike(r"\S"), beginning),
        Check(BROKEN_TEXT, F.col("broken").isNotNull(), F.col("broken")),
        Check(REFUSAL, any_like(_REFUSAL), beginning),
        Check(UNPARSABLE, incomplete, beginning),
        Check(CHOICES_INVALID, wrong_options, F.coalesce(F.to_json("choices"), F.lit(""))),
    )


def parse(
    requests: DataFrame, completions: DataFrame, control_tokens: Iterable[str] = ()
) -> tuple[DataFrame, DataFrame]:
    """Requests and the ledger (unique by request_id) -> (DRAFT columns without difficulty, rejects).

    `control_tokens` are those of the target tokenizer, escaped in what a draft says.
    Rules, key plan_id, the first that applies: `generation_failed`, `truncated`, `empty`, `broken_text`, `refusal`,
    `unparsable`, `choices_invalid`.
    """
    rows = _with_fields(requests, completions, control_tokens).withColumns(
        {
            "broken_rule": first_broken(_draft_checks()),
            "draft_id": F.sha2(F.concat_ws("|", "plan_id", "request_id"), 256),
        }
    )
    names = [c for c in DRAFT.schema.names if c != "difficulty"]
    return rows.where("broken_rule is null").select(*names), _rejects(rows, "plan_id")


def _rejects(rows: DataFrame, key: str) -> DataFrame:
    return reject_rows(rows, "synthesize", key, F.array("request_id"))


def as_items(drafts: DataFrame) -> DataFrame:
    """[item_id, lang, text] of parsed drafts for the annotator: question, options, solution and answer, as a seed
    shows them."""
    text = F.concat_ws("\n", "question", lettered(F.col("choices")), "solution", "answer")
    return drafts.select(F.col("draft_id").alias("item_id"), "lang", text.alias("text"))


def with_difficulty(
    drafts: DataFrame, labels: DataFrame, unlabelled: DataFrame, conf: Synthesize
) -> tuple[DataFrame, DataFrame]:
    """Parsed drafts, their ANNOTATION rows (unique by item_id) and the rejects of those without a label (unique by
    key) -> (DRAFT rows, rejects with key draft_id: `below_aim`, and the unlabelled ones with the draft's own request
    added).
    """
    labels = labels.select(F.col("item_id").alias("draft_id"), "difficulty")
    rows = drafts.join(labels, "draft_id", "inner")
    hard = F.col("strategy") == Strategy.HIGH_DIFFICULTY
    below = hard & (F.col("difficulty") < F.col("grade")) & F.lit(conf.below_aim == "reject")
    evidence = F.format_string("aimed at %s, measured %s", "grade", "difficulty")
    judged = rows.withColumn("broken_rule", F.when(below, breaks_rule(BELOW_AIM, evidence)))
    own = drafts.select(F.col("draft_id").alias("key"), F.array("request_id").alias("own"))
    unplaced = unlabelled.join(own, "key", "inner").withColumn("request_ids", F.concat("own", "request_ids"))
    rejects = _rejects(judged, "draft_id").unionByName(unplaced.drop("own"))
    return judged.where("broken_rule is null").select(*DRAFT.schema.names), rejects
