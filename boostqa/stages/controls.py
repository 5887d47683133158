"""labelled public items -> control. Grain: one control after one stage. Key: (draft_id, stage).

A control is a known item that goes through the same checks as a draft: a positive one is left as it is, a negative one is
spoilt in one way (udfs/spoiling.py), or is what the generator itself answered wrongly. An item is used once, so that
controls are no duplicates of each other. What is not used: items without an answer, and those with other than four
options, in which drafts cannot come; items in a language that no request is planned in.
"""

from functools import reduce

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.config import Controls
from boostqa.languages import LANGUAGES, in_language
from boostqa.schemas import CONTROL, DRAFT
from boostqa.stages.wording import is_multiple_choice
from boostqa.vocabulary import DRAFT_LETTERS, AnswerStatus, Defect, Format, Strategy
from udfs import spoiling
from udfs.answers import same

_WRONG = (Defect.WRITER_ERROR, Defect.WRONG_ANSWER, Defect.WRONG_LETTER)  # what a voter may put right
_DONORS = 50  # items of each language that lend a seed, a benchmark item or another answer
_ERROR_SHARE = 0.5  # of the items that the generator answers wrongly: the others stay for other controls
_PARTS = 10**6  # a hash as a share of them
_FROM_REQUEST = ("seed_id", "discipline", "grade", "strategy")
_SPOILT = ("lang", "question", "choices", "answer", "solution")
_ECHOED = {"en": 40, "zh": 12}  # fewest characters of a sentence of a prompt that stands as a question


def _hash(salt: str) -> Column:
    return F.xxhash64("origin", F.lit(salt))


def _one_of(array: str, salt: str) -> Column:
    return F.get(array, F.pmod(_hash(salt), F.greatest(F.size(array), F.lit(1))).cast("int"))


def _some_by_lang(rows: DataFrame, name: str, *columns: str) -> DataFrame:
    """[lang, `name`: array of structs of `columns`], unique by lang: up to _DONORS rows of each language, by hash."""
    picked = [rows.where(F.col("lang") == x).orderBy("order").limit(_DONORS) for x in LANGUAGES]
    each = reduce(DataFrame.unionByName, picked)
    return each.groupBy("lang").agg(F.array_sort(F.collect_list(F.struct("order", *columns))).alias(name))


def draw(items: DataFrame, plan: DataFrame, conf: Controls) -> DataFrame:
    """Items of labelled sources [benchmark (the source), item_id, lang, question, choices, answer, solution] and PLAN rows
    -> at most `conf.count` by hash, as DRAFT columns and `origin`; the answer is the known one, the solution may be empty.

    Each takes seed, discipline, grade and strategy of a planned request of its language, so that it meets what a draft
    meets.
    """
    options = F.size("choices")
    letters = (options == len(DRAFT_LETTERS)) & F.col("answer").isin(*DRAFT_LETTERS)
    usable = F.col("answer").rlike(r"\S") & F.when(options > 0, letters).otherwise(True)
    origin = F.concat_ws("/", F.col("benchmark"), F.col("item_id"))
    known = items.where(usable).withColumn("origin", origin).orderBy(_hash("draw"), "origin").limit(conf.count)
    order = F.xxhash64("plan_id").alias("order")
    requests = _some_by_lang(plan.select("*", order), "requests", "plan_id", *_FROM_REQUEST)
    rows = known.drop("discipline", "difficulty").join(requests, on="lang", how="inner")  # requests: unique by lang
    number = F.when(F.col("answer").rlike(r"\d"), Format.CALCULATION).otherwise(Format.SHORT_ANSWER)
    rows = rows.withColumn("request", _one_of("requests", "request")).withColumns(
        {
            "draft_id": F.sha2(F.concat(F.lit("control|"), "origin"), 256),
            "format": F.when(options > 0, Format.MULTIPLE_CHOICE).otherwise(number),
            "choices": F.when(options > 0, F.col("choices")),
            "solution": F.coalesce("solution", F.lit("")),
            "lever": F.lit(None).cast("string"),
            "generator": F.lit("control"),
            "request_id": F.sha2("origin", 256),
        }
        | {name: F.col("request")[name] for name in ("plan_id", *_FROM_REQUEST)}
        | {"difficulty": F.col("request")["grade"]}
    )
    return rows.select(*DRAFT.schema.names, "origin")


def _with_donors(rows: DataFrame, seeds: DataFrame, held_out: DataFrame) -> DataFrame:
    """Adds what a defect may need of others: other_answer, prompt_sentence, seed, benchmark (structs or null)."""
    item = ("question", "choices", "answer")
    asked = seeds.where(F.col("question").isNotNull() & F.col("answer").isNotNull())
    asked = _some_by_lang(asked.withColumn("order", F.xxhash64("seed_id")), "seeds", "seed_id", *item)
    leaks = held_out.where(F.col("answer").isNotNull()).withColumn("order", F.xxhash64("benchmark", "item_id"))
    leaks = _some_by_lang(leaks, "leaks", *item)
    answers = rows.where(F.col("choices").isNull()).withColumn("order", _hash("answer"))
    answers = _some_by_lang(answers, "answers", "answer")
    for donors in (asked, leaks, answers):  # each unique by lang, three rows at most
        rows = rows.join(F.broadcast(donors), on="lang", how="left")
    sentences = in_language(F.col("lang"), F.array(*_sentences("zh")), F.array(*_sentences("en")))
    rows = rows.withColumn("sentences", sentences)
    return rows.withColumns(
        {
            "other_answer": _one_of("answers", "other")["answer"],
            "prompt_sentence": _one_of("sentences", "sentence"),
            "seed": _one_of("seeds", "seed"),
            "benchmark": _one_of("leaks", "leak"),
        }
    )


def _sentences(lang: str) -> list[Column]:
    """Sentences of the synthesis prompts that hold no value."""
    text = "\n".join(prompts.load(strategy).texts[lang] for strategy in Strategy)
    parts = {
        s.strip() for line in text.splitlines() for s in line.replace("。", "。\n").replace(". ", ".\n").split("\n")
    }
    return [F.lit(s) for s in sorted(parts) if "{{" not in s and len(s) >= _ECHOED[lang]]


def make(answered: DataFrame, seeds: DataFrame, held_out: DataFrame, conf: Controls) -> DataFrame:
    """What the generator answered to the drawn items (refine.votes of one attempt, with `origin`), SEED and
    HELD_OUT rows -> CONTROL rows as they are before any check, stage synthesize.

    Half of what the generator answered wrongly becomes `writer_error`, with its answer and solution; of the rest
    `conf.positive_share` stay as they are, the others get one defect each. Where the source gives no solution, the
    generator's stands if its answer is right.
    """
    attempt, right = F.get("blind", F.lit(0)), F.get("equal", F.lit(0))
    share = F.pmod(_hash("defect"), F.lit(_PARTS)) / _PARTS
    error = (right == F.lit(False)) & (F.pmod(_hash("error"), F.lit(_PARTS)) < _ERROR_SHARE * _PARTS)
    rows = answered.withColumns(
        {
            "known_answer": F.col("answer"),
            "request_ids": F.col("attempts.request_id"),
            "request_id": F.get("attempts.request_id", F.lit(0)),
            "solution": F.coalesce(F.nullif("solution", F.lit("")), F.when(right, attempt["solution"]), F.lit("")),
            "defect": F.when(error, Defect.WRITER_ERROR).when(share < conf.positive_share, Defect.NONE),
        }
    )
    errors = rows.where(F.col("defect") == Defect.WRITER_ERROR)
    errors = errors.withColumns({name: F.coalesce(attempt[name], F.lit("")) for name in ("answer", "solution")})
    whole = errors.unionByName(rows.where(F.col("defect") == Defect.NONE))
    donors = _with_donors(rows.where(F.col("defect").isNull()), seeds, held_out).withColumn("item_id", F.col("origin"))
    lent = ("other_answer", "prompt_sentence", "seed", "benchmark")
    spoilt = donors.select("item_id", *_SPOILT, *lent).mapInPandas(spoiling.spoil_all, spoiling.SCHEMA)
    kept = donors.drop(*_SPOILT, "defect")
    of_seed = F.col("defect").isin(Defect.SEED_COPY, Defect.SEED_NEAR_COPY)
    negative = kept.join(spoilt, on="item_id", how="inner").withColumn(  # both unique by item_id
        "seed_id", F.when(of_seed, F.col("seed.seed_id")).otherwise(F.col("seed_id"))
    )
    negative = negative.withColumn("format", _format_of_spoilt())
    both = whole.unionByName(negative.select(*whole.columns))
    return after(both, "synthesize")


def _format_of_spoilt() -> Column:
    """A leaked item or a copied seed may have options where the item had none."""
    lettered = F.col("choices").isNotNull()
    return (
        F.when(lettered, Format.MULTIPLE_CHOICE)
        .when(is_multiple_choice(), Format.SHORT_ANSWER)
        .otherwise(F.col("format"))
    )


def after(controls: DataFrame, stage: str, rejects: DataFrame | None = None) -> DataFrame:
    """Controls (CONTROL columns but stage, rule, evidence) that went into a stage, and its rejects (unique by key) ->
    CONTROL rows of that stage; what a reject had cost is added to `request_ids`."""
    none = F.lit(None).cast("string")
    if rejects is None:
        stopped = controls.withColumns({"rule": none, "evidence": none})
    else:
        found = rejects.select(F.col("key").alias("draft_id"), "rule", "evidence", F.col("request_ids").alias("cost"))
        stopped = controls.drop("rule", "evidence").join(found, on="draft_id", how="left")
        cost = F.coalesce("cost", F.array().cast("array<string>"))
        stopped = stopped.withColumn("request_ids", F.array_distinct(F.concat("request_ids", cost)))
    return stopped.withColumn("stage", F.lit(stage)).select(*CONTROL.schema.names)


def travelling(controls: DataFrame, stage: str) -> DataFrame:
    """The CONTROL rows that came through a stage."""
    return controls.where((F.col("stage") == stage) & F.col("rule").isNull())


def charged(controls: DataFrame, requests: DataFrame) -> DataFrame:
    """Controls with the `request_id` of requests made for them (with `draft_id`, any number each) in `request_ids`."""
    made = requests.groupBy("draft_id").agg(F.array_sort(F.collect_list("request_id")).alias("made"))
    rows = controls.join(made, on="draft_id", how="left")  # both unique by draft_id
    both = F.array_distinct(F.concat("request_ids", F.coalesce("made", F.array().cast("array<string>"))))
    return rows.withColumn("request_ids", both).drop("made")


def without(rows: DataFrame, controls: DataFrame, column: str = "draft_id") -> DataFrame:
    """The rows whose `column` is no control's draft_id."""
    ids = controls.select(F.col("draft_id").alias(column))
    return rows.join(F.broadcast(ids), on=column, how="left_anti").select(*rows.columns)


def without_lookalikes(rejects: DataFrame, controls: DataFrame) -> DataFrame:
    """Rejects (key: draft_id; evidence of a duplicate: its keeper's) without those for a control's sake: a draft that
    resembles a control is none of its duplicates. A control that resembles another one stays a reject where that is one,
    too: what stopped the other would have stopped it."""
    others = without(rejects, controls, "evidence")
    stopped = others.select(F.col("key").alias("evidence"))
    copies = rejects.join(controls.select(F.col("draft_id").alias("key")), "key", "left_semi")
    alike = copies.join(stopped, "evidence", "left_semi")
    return others.unionByName(alike.select(*others.columns))  # an alike one is not among the others


def refined(controls: DataFrame, kept: DataFrame, rejects: DataFrame) -> DataFrame:
    """Controls that went into refine, the REFINED rows of those it kept and its rejects (each unique by draft_id) -> CONTROL
    rows of stage refine, with what refine made of them and what it cost.

    A correction stops a control, too (rule `corrected`): the wrong answer of a negative one did not get through if it became
    the known one, and a positive one is good no more.
    """
    new = kept.select("draft_id", F.struct("answer", "solution", "request_ids", "status").alias("new"))
    rows = controls.join(new, on="draft_id", how="left")
    cost = F.coalesce("new.request_ids", F.array().cast("array<string>"))
    made = {name: F.coalesce(F.col("new")[name], F.col(name)) for name in ("answer", "solution")}
    drafted = {"draft_answer": F.col("answer"), "corrected": F.col("new.status") == AnswerStatus.CORRECTED}
    rows = rows.withColumns(drafted | made | {"request_ids": F.array_distinct(F.concat("request_ids", cost))})

    @F.pandas_udf("boolean")  # type: ignore[call-overload]
    def is_known(first: pd.Series, second: pd.Series, lettered: pd.Series) -> pd.Series:
        return pd.Series([same(*pair) for pair in zip(first, second, lettered, strict=True)], dtype="boolean")

    mended = F.col("defect").isin(*_WRONG) & is_known("answer", "known_answer", is_multiple_choice())
    stopped = F.col("corrected") & (mended | (F.col("defect") == Defect.NONE))
    seen = F.concat(F.lit("draft: "), "draft_answer", F.lit(" | corrected: "), "answer")
    found = rows.where(stopped).select(
        "draft_id", F.struct(F.lit("corrected").alias("rule"), seen.alias("seen")).alias("by")
    )
    ended = after(rows, "refine", rejects).join(found, on="draft_id", how="left")  # found: unique by draft_id
    return ended.withColumns(
        {"rule": F.coalesce("rule", "by.rule"), "evidence": F.coalesce("evidence", "by.seen")}
    ).select(*CONTROL.schema.names)
