"""draft -> refined, rejects. Grain: one draft whose answer was confirmed or corrected. Key: draft_id.

A second model answers the question blind (no passage, no draft answer) k times. A draft that more than half of the
attempts confirm is `agreed`; when more than half agree on another answer it is `corrected` and says so; else it is
rejected as `disputed`. The solution is then rewritten and dropped again if the rewrite changed the final answer.
"""

import json

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.config import Refine, Sampling
from boostqa.requests import Speaker, request
from boostqa.schemas import DRAFT, REFINED
from udfs.answers import compare

REPLY = "solution string, answer string"
YES_NO = json.dumps({"choice": ["yes", "no"]})
JUDGE = Sampling(temperature=0.0, top_p=1.0, max_tokens=8)


def _multiple_choice() -> Column:
    return F.col("format") == "multiple_choice"


def _shape() -> Column:
    return F.when(_multiple_choice(), "multiple_choice").otherwise("open")


def _reply_schema() -> Column:
    """JSON Schema of solution and answer; a multiple-choice answer is one of the item's letters."""

    def schema(answer: dict) -> str:
        fields = {"solution": {"type": "string", "minLength": 1}, "answer": answer}
        return json.dumps(
            {"json": {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}}
        )

    letters = schema({"enum": ["A", "B", "C", "D"]})
    return F.when(_multiple_choice(), letters).otherwise(schema({"type": "string", "minLength": 1}))


def _asked_question() -> Column:
    letters = F.array(*map(F.lit, "ABCDEFGHIJ"))
    options = F.transform("choices", lambda c, i: F.concat(F.lit("\n"), F.get(letters, i), F.lit(". "), c))
    return F.concat("question", F.coalesce(F.array_join(options, ""), F.lit("")))


def blind_requests(drafts: DataFrame, speaker: Speaker, conf: Refine) -> DataFrame:
    """DRAFT rows -> k requests each: the question with its options, nothing else of the draft."""
    lang, prompt = F.col("lang"), prompts.load("blind")
    form = prompts.say("answer_form", _shape(), lang)
    text = prompt.render(lang, question=_asked_question(), answer_form=form)
    attempts = F.explode(F.sequence(F.lit(0), F.lit(conf.blind_attempts - 1))).alias("attempt")
    rows = drafts.select("draft_id", "lang", "format", "question", "choices", attempts)
    index = F.col("attempt")
    asked = request(rows, "refine", speaker, prompt, text, conf.blind, structured=_reply_schema(), sample_index=index)
    return asked.drop("lang", "format", "question", "choices")


def votes(drafts: DataFrame, asked: DataFrame, completions: DataFrame) -> DataFrame:
    """Drafts with their blind attempts: DRAFT columns, `attempts` and those with an answer, `blind` (arrays by attempt of
    answer, solution, request_id), `equal` and `leader` (udfs.answers.compare). An attempt that failed or was truncated is
    no vote."""
    replies = asked.join(completions.select("request_id", "text", "finish_reason"), "request_id", "inner")
    reply = F.from_json("text", REPLY)
    answer = F.when(F.col("finish_reason") == "stop", F.nullif(F.trim(reply["answer"]), F.lit("")))
    attempt = F.struct("attempt", answer.alias("answer"), reply["solution"].alias("solution"), "request_id")
    per_draft = replies.groupBy("draft_id").agg(
        F.array_sort(F.collect_list(attempt)).alias("attempts"),
        F.max("model").alias("refiner"),
    )
    answered = F.filter("attempts", lambda a: a["answer"].isNotNull())
    rows = drafts.join(per_draft, "draft_id", "inner").withColumn("blind", answered)
    pairs = rows.select(
        "draft_id", "answer", F.col("blind.answer").alias("blind"), _multiple_choice().alias("multiple_choice")
    )
    compared = pairs.mapInPandas(compare, "draft_id string, equal array<boolean>, leader array<int>")
    return rows.join(compared, "draft_id", "inner")  # both unique by draft_id


def judge_requests(votes: DataFrame, speaker: Speaker) -> DataFrame:
    """One request for each blind answer that the matcher could not decide, each different answer once; adds `position`."""
    lang, prompt = F.col("lang"), prompts.load("judge")
    open_pairs = votes.select(
        "draft_id",
        "lang",
        "question",
        "answer",
        F.posexplode(F.arrays_zip("equal", "leader", F.col("blind.answer").alias("other"))).alias("position", "pair"),
    ).where(F.col("pair.equal").isNull() & (F.col("pair.leader") == F.col("position")))
    text = prompt.render(lang, question=F.col("question"), first=F.col("answer"), second=F.col("pair.other"))
    asked = request(open_pairs, "refine", speaker, prompt, text, JUDGE, structured=F.lit(YES_NO))
    return asked.drop("lang", "question", "answer", "pair")


def decide(votes: DataFrame, asked: DataFrame, completions: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Votes and judgements -> (decided rows, rejects `disputed` or `no_blind_answer`, key draft_id).

    Decided rows add status, draft_answer, final answer and solution, `votes` and `request_ids`.
    """
    judged = asked.select("draft_id", "position", "request_id").join(
        completions.select("request_id", "text"), "request_id", "inner"
    )
    verdicts = judged.groupBy("draft_id").agg(
        F.map_from_entries(F.collect_list(F.struct("position", (F.col("text") == "yes").alias("same")))).alias(
            "verdicts"
        ),
        F.array_sort(F.collect_list("request_id")).alias("judge_ids"),
    )
    rows = votes.join(verdicts, "draft_id", "left")  # both unique by draft_id
    judge_ids = F.coalesce("judge_ids", F.array().cast("array<string>"))
    rows = rows.withColumn("request_ids", F.concat(F.col("attempts.request_id"), judge_ids))
    # A judged answer speaks for all that the matcher found equal to it.
    confirmed = F.transform(
        "equal", lambda e, i: F.coalesce(e, F.try_element_at("verdicts", F.get("leader", i)), F.lit(False))
    )
    rows = rows.withColumn("confirmed", confirmed)
    agreed = F.size(F.filter("confirmed", lambda c: c))
    sizes = F.transform("leader", lambda lead: F.size(F.filter("leader", lambda other: other == lead)))
    rows = rows.withColumns({"agreed": agreed, "largest": F.coalesce(F.array_max(sizes), F.lit(0)), "sizes": sizes})
    rows = rows.withColumn("winner", F.get("blind", F.array_position("sizes", F.col("largest")).cast("int") - 1))
    attempts = F.size("attempts")
    status = F.when(F.col("agreed") * 2 > attempts, "agreed").when(F.col("largest") * 2 > attempts, "corrected")
    rows = rows.withColumn("status", status)
    rejects = rows.where(F.col("status").isNull()).select(
        F.lit("refine").alias("stage"),
        F.col("draft_id").alias("key"),
        F.when(F.size("blind") == 0, "no_blind_answer").otherwise("disputed").alias("rule"),
        F.concat_ws(
            " | ", F.concat(F.lit("draft: "), "answer"), F.concat(F.lit("blind: "), F.to_json("blind.answer"))
        ).alias("evidence"),
        "request_ids",
    )
    corrected = F.col("status") == "corrected"
    decided = rows.where(F.col("status").isNotNull()).withColumns(
        {
            "draft_answer": F.col("answer"),
            "answer": F.when(corrected, F.col("winner.answer")).otherwise(F.col("answer")),
            "solution": F.when(corrected, F.coalesce("winner.solution", F.lit(""))).otherwise(F.col("solution")),
            "votes": F.when(corrected, F.col("largest")).otherwise(F.col("agreed")),
            "blind_answers": F.col("blind.answer"),
        }
    )
    extra = ("draft_answer", "status", "blind_answers", "votes", "refiner", "request_ids")
    return decided.select(*DRAFT.schema.names, *extra), rejects


def rewrite_requests(decided: DataFrame, speaker: Speaker, conf: Refine) -> DataFrame:
    """One request a decided draft: rewrite the solution, the final answer unchanged."""
    lang, prompt = F.col("lang"), prompts.load("rewrite")
    text = prompt.render(lang, question=_asked_question(), solution=F.col("solution"), answer=F.col("answer"))
    rows = decided.select("draft_id", "lang", "format", "question", "choices", "solution", "answer")
    asked = request(rows, "refine", speaker, prompt, text, conf.rewrite, structured=_reply_schema())
    return asked.select("draft_id", *(c for c in asked.columns if c not in rows.columns))


def finish(decided: DataFrame, asked: DataFrame, completions: DataFrame) -> DataFrame:
    """Decided rows and their rewrites -> REFINED rows; a rewrite that fails or changes the answer is not used."""
    replies = asked.select("draft_id", F.col("request_id").alias("rewrite_id")).join(
        completions.select(F.col("request_id").alias("rewrite_id"), "text", "finish_reason"), "rewrite_id", "inner"
    )
    reply = F.from_json("text", REPLY)
    answer = F.when(F.col("finish_reason") == "stop", F.nullif(F.trim(reply["answer"]), F.lit("")))
    rows = decided.join(replies, "draft_id", "inner").withColumns(
        {"new_answer": answer, "new_solution": F.nullif(F.trim(reply["solution"]), F.lit(""))}
    )
    pairs = rows.select(
        "draft_id",
        "answer",
        F.array_compact(F.array("new_answer")).alias("blind"),
        _multiple_choice().alias("multiple_choice"),
    )
    compared = pairs.mapInPandas(compare, "draft_id string, equal array<boolean>, leader array<int>").select(
        "draft_id", F.get("equal", F.lit(0)).alias("unchanged")
    )
    usable = F.col("unchanged") & F.col("new_solution").isNotNull()
    outcome = (
        F.when(usable, "rewritten")
        .when(F.col("new_answer").isNotNull(), "kept: the rewrite changed the answer")
        .otherwise("kept: no rewrite")
    )
    rows = rows.join(compared, "draft_id", "inner").withColumns(  # both unique by draft_id
        {
            "rewrite": outcome,
            "solution": F.when(usable, F.col("new_solution")).otherwise(F.col("solution")),
            "request_ids": F.concat("request_ids", F.array("rewrite_id")),
        }
    )
    return rows.select(*REFINED.schema.names)
