"""plan, seed, annotation -> draft, rejects. Grain: one try of one synthesis request. Key: draft_id.

A draft is text between tags that a grammar enforces (stages/tags.py); it is parsed, then measured by the same annotator
as the seeds. Requests are made in waves: the first samples of all seeds, then the second ones, which see
the questions already asked of their seed. What was cut off, cannot be parsed, is a copy or unfit by its own text
(stages/fitness.py) is tried again in the next wave, with a new sample.
What may disappear: tries that failed, were cut off, cannot be parsed, copy what they were shown or are unfit, copies of
other drafts. What it does not know: how difficult a draft is (stages/aim.py).
"""

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.config import Synthesize
from boostqa.matching_text import folded, grams
from boostqa.schemas import DRAFT, PLAN
from boostqa.stages import fitness, material
from boostqa.stages.aim import attempt
from boostqa.stages.exemplars import with_exemplars
from boostqa.stages.rejects import Check, Rule, first_broken, reject_rows
from boostqa.stages.tags import constraint, with_fields
from boostqa.stages.wording import is_multiple_choice, lettered, reordered
from boostqa.taxonomy import discipline_name
from boostqa.vocabulary import CUT_OFF, DRAFT_LETTERS, UNUSABLE, Cause, Strategy

GENERATION_FAILED = Rule("generation_failed", Cause.GENERATION_FAILED)
TRUNCATED = Rule("truncated", Cause.TRUNCATION)
EMPTY = Rule("empty", Cause.PARSE_FAILURE)
BROKEN_TEXT = Rule("broken_text", Cause.PARSE_FAILURE)
REFUSAL = Rule("refusal", Cause.PARSE_FAILURE)
UNPARSABLE = Rule("unparsable", Cause.PARSE_FAILURE)
COPIES_SEED = Rule("copies_seed", Cause.DUPLICATE)
COPIES_PROMPT = Rule("copies_prompt", Cause.DUPLICATE)
RULES = (
    *(GENERATION_FAILED, TRUNCATED, EMPTY, BROKEN_TEXT, REFUSAL, UNPARSABLE),
    *(COPIES_SEED, COPIES_PROMPT),
)
# What another sample would do as well: a model declines its task, an engine cannot serve the request.
_NOT_TRIED_AGAIN = (GENERATION_FAILED, REFUSAL)
# Between the sample indices of two tries of a request, so that a second try is no other sample's first one.
_TRIES_APART = 1000
# A question is a copy when half of its runs of so many words (characters in Chinese and Japanese) stand in what was
# shown: one sentence may quote a law, the question itself must be new.
_COPY_WORDS, _COPY_CHARACTERS, _COPY_SHARE = 8, 16, 0.5

# A try: a draft without difficulty, or what rule it broke.
TRY = StructType(
    [
        *(StructField(c.name, c.dataType) for c in DRAFT.columns if c.name != "difficulty"),
        StructField("sample_index", IntegerType()),
        StructField("broken_rule", StructType([StructField(name, StringType()) for name in ("rule", "evidence")])),
    ]
)

# How a model begins that declines the task, in any of the fields.
_REFUSAL = (
    r"(?i)^\W*(?:i(?:'|’)?m (?:very )?sorry|i(?: do|'m afraid i| am)? (?:can(?:no|')t|unable to) "
    r"(?:help|assist|comply|provide|create|write|generate|answer)|i apologi[sz]e|sorry, |as an ai\b)"
    r"|^\W*(?:很?抱歉|对不起|我(?:无法|不能)(?:回答|提供|生成|帮助|编写|协助)|作为(?:一[个名])?(?:AI|人工智能))"
)


def with_material(plan: DataFrame, seeds: DataFrame, labels: DataFrame, conf: Synthesize) -> DataFrame:
    """PLAN rows, SEED rows and [seed_id, discipline, difficulty] of the seeds (both unique by seed_id) -> PLAN columns,
    `material` (what of the seed is shown), `examples` (exemplars in words, empty without any) and an empty `shortfall`
    (what a draft before lacks, in words)."""
    of_seed = seeds.select("seed_id", "doc_id", "kind", "title", "text", "question", "choices")
    rows = with_exemplars(plan.join(of_seed, "seed_id", "inner"), seeds, labels, conf.exemplars)
    return rows.select(
        *PLAN.schema.names,
        material.shown().alias("material"),
        material.exemplars().alias("examples"),
        F.lit("").alias("shortfall"),
    )


def _word_values(strategy: Strategy) -> dict[str, Column]:
    """The values of a strategy's template, from the rows of `requests`, in the row's language."""
    lang = F.col("lang")
    values = {
        "material": F.col("material"),
        "discipline": discipline_name(F.col("discipline"), lang),
        "grade": prompts.wording("grade", F.col("grade"), lang),
        **{name: prompts.wording(name, F.col("format"), lang) for name in ("format", "form", "example", "length")},
        "exemplars": F.col("examples"),
        "asked": material.asked(),
    }
    if strategy == Strategy.HIGH_DIFFICULTY:
        values |= {"lever": prompts.wording("lever", F.col("lever"), lang), "shortfall": F.col("shortfall")}
    return values


def requests(due: DataFrame, asked: DataFrame, spec: ModelSpec, conf: Synthesize) -> DataFrame:
    """Rows of `with_material` that are due, and [seed_id, asked] (unique) -> the same with REQUEST columns, one request a
    row."""
    rows = due.join(asked, "seed_id", "left")
    parts = []
    for strategy in Strategy:
        template = prompts.load(strategy)
        part = with_request(
            rows.where(F.col("strategy") == strategy),
            *("synthesize", spec, template, template.render(F.col("lang"), **_word_values(strategy)), conf.sampling),
            structured=constraint(),
            sample_index=F.col("sample_index"),
        )
        parts.append(part)
    return parts[0].unionByName(parts[1])


def _with_fields(requests: DataFrame, completions: DataFrame, control_tokens: Iterable[str]) -> DataFrame:
    """PLAN columns, material, prompt, request_id, generator, `text`, `finish_reason`, `error`, and what
    tags.with_fields reads."""
    answers = completions.select("request_id", "text", "finish_reason", "error")
    shown = ("material", "prompt", "request_id", F.col("model").alias("generator"))
    rows = requests.select(*PLAN.schema.names, *shown)
    drafts = with_fields(rows.join(answers, "request_id", "inner"), tuple(control_tokens))
    texts, key = F.array("question", "solution"), F.col("request_id")
    drawn = drafts.withColumn("drawn", reordered(F.col("choices"), F.col("answer"), texts, key))
    return drawn.withColumns({name: F.col("drawn")[name] for name in ("choices", "answer")}).drop("drawn")


def _copied_share(question: Column, shown: Column) -> Column:
    """Share (0..1) of a question's runs that stand in what was shown; a shorter question is copied whole or not."""
    runs = (grams(text, _COPY_WORDS, _COPY_CHARACTERS) for text in (question, shown))
    own, given = (F.array_distinct(r) for r in runs)
    share = F.size(F.array_intersect(own, given)) / F.size(own)
    whole = F.contains(shown, question).cast("double")
    return F.when(F.size(own) > 0, share).otherwise(whole)


def _draft_checks() -> tuple[Check, ...]:
    texts = F.concat(F.array("text", "question", "solution", "answer"), F.coalesce("choices", F.array()))

    def any_like(pattern: str) -> Column:
        return F.exists(F.array_compact(texts), lambda t: t.rlike(pattern))

    def copied(share: str) -> Column:
        return F.format_string("%.0f%% of: %s", F.round(F.col(share) * 100), F.left("question", F.lit(300)))

    reason, beginning = F.col("finish_reason"), F.substring("text", 1, 300)
    incomplete = F.col("question").isNull() | F.col("solution").isNull() | F.col("answer").isNull()
    options = F.size(F.array_distinct(F.filter("choices", lambda c: F.length(c) > 0)))
    wrong_options = is_multiple_choice() & (F.coalesce(options, F.lit(0)) != len(DRAFT_LETTERS))
    return (
        Check(GENERATION_FAILED, reason.isin(*UNUSABLE), F.coalesce("error", "finish_reason")),
        Check(TRUNCATED, reason.isin(*CUT_OFF), beginning),
        Check(EMPTY, ~F.col("text").rlike(r"\S"), beginning),
        Check(BROKEN_TEXT, F.col("broken").isNotNull(), F.col("broken")),
        Check(REFUSAL, any_like(_REFUSAL), beginning),
        Check(UNPARSABLE, incomplete, beginning),
        Check(fitness.CHOICES_INVALID, wrong_options, F.coalesce(F.to_json("choices"), F.lit(""))),
        Check(COPIES_SEED, F.col("of_seed") >= _COPY_SHARE, copied("of_seed")),
        Check(COPIES_PROMPT, F.col("of_prompt") >= _COPY_SHARE, copied("of_prompt")),
    )


def tried(requests: DataFrame, completions: DataFrame, control_tokens: Iterable[str] = ()) -> DataFrame:
    """Requests and the ledger (unique by request_id) -> tries: DRAFT columns without difficulty, `sample_index` and
    `broken_rule`, null for a draft.

    `control_tokens` are those of the target tokenizer, escaped in what a draft says.
    Rules, the first that applies: `generation_failed`, `truncated`, `empty`, `broken_text`, `refusal`, `unparsable`,
    `choices_invalid`, `copies_seed` (of what the seed's material shows), `copies_prompt` (of the whole prompt: exemplars,
    questions asked before, instructions).
    """
    rows = _with_fields(requests, completions, control_tokens)
    rows = rows.withColumns({f"{name}_folded": folded(F.col(name)) for name in ("question", "material", "prompt")})
    shares = {"of_seed": "material_folded", "of_prompt": "prompt_folded"}
    rows = rows.withColumns({c: _copied_share(F.col("question_folded"), F.col(shown)) for c, shown in shares.items()})
    rows = rows.withColumns(
        {
            "broken_rule": first_broken(_draft_checks()),
            "draft_id": F.sha2(F.concat_ws("|", "plan_id", "request_id"), 256),
        }
    )
    return rows.select(*TRY.names)


def with_unfit(tries: DataFrame, unfit: DataFrame) -> DataFrame:
    """Tries, and rejects of some of their drafts (unique by key, the draft_id) -> tries, in which these broke a rule,
    too."""
    found = unfit.select(F.col("key").alias("draft_id"), F.struct("rule", "evidence").alias("unfit"))
    rows = tries.join(found, "draft_id", "left")
    return rows.withColumn("broken_rule", F.coalesce("broken_rule", "unfit")).select(*TRY.names)


def asked(tries: DataFrame, earlier: DataFrame | None = None) -> DataFrame:
    """Tries, and DRAFT rows of earlier rounds -> [seed_id, asked]: the questions of the drafts on each seed, in a fixed
    order."""
    questions = tries.where("broken_rule is null").select("seed_id", "question")
    if earlier is not None:
        questions = questions.unionByName(earlier.select("seed_id", "question"))
    return questions.groupBy("seed_id").agg(F.array_sort(F.collect_set("question")).alias("asked"))


def _superseded(retries: int) -> Column:
    """Whether a try is followed by another."""
    may = ~F.col("broken_rule.rule").isin(*(rule.name for rule in _NOT_TRIED_AGAIN))
    return F.coalesce(may, F.lit(False)) & (F.col("sample_index") < retries * _TRIES_APART)


def again(tries: DataFrame, rows: DataFrame, conf: Synthesize) -> DataFrame:
    """Tries of one wave and the rows of `with_material` (unique by plan_id) -> those to try once more, each with the
    sample index of its next try."""
    failed = tries.where(_superseded(conf.retries)).select(
        "plan_id", (F.col("sample_index") + _TRIES_APART).alias("next")
    )
    return rows.join(failed, "plan_id", "inner").withColumn("sample_index", F.col("next")).drop("next")


def drafts_and_rejects(tries: DataFrame, conf: Synthesize) -> tuple[DataFrame, DataFrame]:
    """All tries -> (DRAFT columns without difficulty, rejects).

    A reject's key is the plan_id, and the draft_id of a try that was followed by another or itself follows a draft: so a
    plan row ends as one draft or one reject, and each further try is one reject more.
    """
    names = [c for c in DRAFT.schema.names if c != "difficulty"]
    of_many = _superseded(conf.retries) | (attempt(F.col("sample_index")) > 0)
    key = F.when(of_many, F.col("draft_id")).otherwise(F.col("plan_id"))
    return tries.where("broken_rule is null").select(*names), _rejects(tries.withColumn("try", key), "try")


def _rejects(rows: DataFrame, key: str) -> DataFrame:
    return reject_rows(rows, "synthesize", key, F.array("request_id"))


def as_questions(drafts: DataFrame) -> DataFrame:
    """[item_id, text] of drafts: what makes two of them the same question, with options in any order."""
    text = F.concat_ws("\n", "question", F.array_sort("choices"))
    return drafts.select(F.col("draft_id").alias("item_id"), text.alias("text"))


def without_copies(drafts: DataFrame, twins: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Drafts, and what deduplicate.exact finds among them (unique by item_id) -> (drafts that are kept, rejects with key
    draft_id, whose evidence is the keeper's id)."""
    found = twins.select(
        F.col("item_id").alias("draft_id"), F.struct("rule", F.col("keeper_id").alias("evidence")).alias("broken_rule")
    )
    judged = drafts.join(found, "draft_id", "left")
    return judged.where("broken_rule is null").drop("broken_rule"), _rejects(judged, "draft_id")


def as_items(drafts: DataFrame) -> DataFrame:
    """[item_id, lang, text, discipline] of parsed drafts for the annotator: question, options, solution and answer, as a
    seed shows them; the discipline is the one they were asked for."""
    text = F.concat_ws("\n", "question", lettered(F.col("choices")), "solution", "answer")
    return drafts.select(F.col("draft_id").alias("item_id"), "lang", text.alias("text"), "discipline")
