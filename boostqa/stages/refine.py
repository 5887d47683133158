"""draft -> refined, rejects. Grain: one draft whose answer was confirmed or corrected. Key: draft_id.

A second model answers the question blind (no passage, no draft answer) k times. A draft that more than half of the
attempts confirm is `agreed`; when more than half agree on another answer it is `corrected` and says so; else it is
rejected as `disputed`. The solution is then rewritten and dropped again if the rewrite changed the final answer.
"""

import json
from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.config import Refine, Sampling
from boostqa.schemas import DRAFT, REFINED
from boostqa.schemas.table import STRINGS
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.stages.replies import with_fields
from boostqa.stages.wording import TEXT, answer_shape, is_multiple_choice, json_constraint, question_with_options
from boostqa.vocabulary import DRAFT_LETTERS, AnswerStatus, Cause, FinishReason, Rewrite
from udfs import answers

NO_BLIND_ANSWER = Rule("no_blind_answer", Cause.DISPUTE)
DISPUTED = Rule("disputed", Cause.DISPUTE)
RULES = (NO_BLIND_ANSWER, DISPUTED)
YES_NO = json.dumps({"choice": ["yes", "no"]})
JUDGE = Sampling(temperature=0.0, top_p=1.0, max_tokens=8)


def _reply_constraint() -> Column:
    """A reply of solution and answer; a multiple-choice answer is one of the item's letters."""
    letters = json_constraint({"solution": TEXT, "answer": {"enum": list(DRAFT_LETTERS)}})
    return F.when(is_multiple_choice(), letters).otherwise(json_constraint({"solution": TEXT, "answer": TEXT}))


def _question() -> Column:
    return question_with_options(F.col("question"), F.col("choices"))


def _with_reply(rows: DataFrame, control_tokens: Iterable[str]) -> DataFrame:
    """Rows with `text` and `finish_reason` of a reply -> the same and `reply`: struct of solution, answer (null where
    the attempt failed, was truncated or broken, or left it blank), and broken (what is no text, null where nothing
    is)."""
    read = with_fields(rows.select("*", F.struct("*").alias("row")), control_tokens)
    whole = (F.col("finish_reason") == FinishReason.STOP) & F.col("broken").isNull()
    reply = F.struct(F.when(whole, F.col("answer")).alias("answer"), "solution", "broken")
    return read.select("row.*", reply.alias("reply"))


def _compare(rows: DataFrame, blind: Column) -> DataFrame:
    """[draft_id, answer, format] and an array of answers -> answers.SCHEMA, unique by draft_id."""
    pairs = rows.select("draft_id", "answer", blind.alias("blind"), is_multiple_choice().alias("multiple_choice"))
    return pairs.mapInPandas(answers.compare, answers.SCHEMA)


def blind_requests(drafts: DataFrame, spec: ModelSpec, conf: Refine) -> DataFrame:
    """DRAFT rows -> k requests each: the question with its options, nothing else of the draft; adds `attempt`."""
    lang, template = F.col("lang"), prompts.load("blind")
    form = prompts.wording("answer_form", answer_shape(), lang)
    prompt = template.render(lang, question=_question(), answer_form=form)
    attempts = F.explode(F.sequence(F.lit(0), F.lit(conf.blind_attempts - 1))).alias("attempt")
    requests = with_request(
        drafts.select("draft_id", "lang", "format", "question", "choices", attempts),
        *("refine", spec, template, prompt, conf.blind),
        structured=_reply_constraint(),
        sample_index=F.col("attempt"),
    )
    return requests.drop("lang", "format", "question", "choices")


def votes(
    drafts: DataFrame, requests: DataFrame, completions: DataFrame, control_tokens: Iterable[str] = ()
) -> DataFrame:
    """Grain: a draft. DRAFT columns, `refiner`, `attempts` (struct of attempt, answer, solution, broken, request_id),
    `blind` (those of them with an answer), `equal` and `leader` (udfs.answers.compare, by position in `blind`).

    An attempt that failed, was truncated or is broken is no vote. `control_tokens` are those of the target tokenizer,
    escaped in answers and solutions.
    """
    replies = requests.join(completions.select("request_id", "text", "finish_reason"), "request_id", "inner")
    attempt = F.struct("attempt", "reply.answer", "reply.solution", "reply.broken", "request_id")
    per_draft = (
        _with_reply(replies, control_tokens)
        .groupBy("draft_id")
        .agg(F.array_sort(F.collect_list(attempt)).alias("attempts"), F.max("model").alias("refiner"))
    )
    answered = F.filter("attempts", lambda a: a["answer"].isNotNull())
    rows = drafts.join(per_draft, "draft_id", "inner").withColumn("blind", answered)
    return rows.join(_compare(rows, F.col("blind.answer")), "draft_id", "inner")  # both unique by draft_id


def judge_requests(votes: DataFrame, spec: ModelSpec) -> DataFrame:
    """One request for each blind answer that the matcher could not decide, each different answer once; adds
    `position`."""
    lang, template = F.col("lang"), prompts.load("judge")
    pair = F.arrays_zip("equal", "leader", F.col("blind.answer").alias("other"))
    pairs = votes.select("draft_id", "lang", "question", "answer", F.posexplode(pair).alias("position", "pair"))
    undecided = pairs.where(F.col("pair.equal").isNull() & (F.col("pair.leader") == F.col("position")))
    prompt = template.render(lang, question=F.col("question"), first=F.col("answer"), second=F.col("pair.other"))
    requests = with_request(undecided, "refine", spec, template, prompt, JUDGE, structured=F.lit(YES_NO))
    return requests.drop("lang", "question", "answer", "pair")


def _with_judgements(votes: DataFrame, requests: DataFrame, completions: DataFrame) -> DataFrame:
    """Grain: a draft. Adds `judged` (position in `blind` -> whether the judge found it equal) and `request_ids`."""
    replies = completions.select("request_id", (F.col("text") == "yes").alias("same"))
    judged = requests.select("draft_id", "position", "request_id").join(replies, "request_id", "inner")
    per_draft = judged.groupBy("draft_id").agg(
        F.map_from_entries(F.collect_list(F.struct("position", "same"))).alias("judged"),
        F.array_sort(F.collect_list("request_id")).alias("judge_ids"),
    )
    judge_ids = F.coalesce("judge_ids", F.array().cast(STRINGS))
    rows = votes.join(per_draft, "draft_id", "left")  # both unique by draft_id
    return rows.withColumn("request_ids", F.concat(F.col("attempts.request_id"), judge_ids))


def _with_counts(rows: DataFrame) -> DataFrame:
    """Grain: a draft. Adds `agreeing` (attempts that confirm the draft's answer), `winner` (the blind attempt whose
    answer most attempts gave; the first of equals) and `winner_votes`.

    A judged answer speaks for all that the matcher found equal to it: `leader` is the first of these.
    """
    confirmed = F.transform(
        "equal", lambda equal, i: F.coalesce(equal, F.try_element_at("judged", F.get("leader", i)), F.lit(False))
    )
    same_answer = F.transform("leader", lambda lead: F.size(F.filter("leader", lambda other: other == lead)))
    rows = rows.withColumns({"agreeing": F.size(F.filter(confirmed, lambda c: c)), "same_answer": same_answer})
    rows = rows.withColumn("winner_votes", F.coalesce(F.array_max("same_answer"), F.lit(0)))
    first_of_largest = F.array_position("same_answer", F.col("winner_votes")).cast("int") - 1
    return rows.withColumn("winner", F.get("blind", first_of_largest))


def decide(votes: DataFrame, requests: DataFrame, completions: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Votes and judgements -> (decided rows, rejects `no_blind_answer` or `disputed` with key draft_id).

    A majority is one of attempts, not of answers. Decided rows are DRAFT columns with the final answer and solution,
    and draft_answer, status, blind_answers, votes, refiner, request_ids.
    """
    rows = _with_counts(_with_judgements(votes, requests, completions))
    attempts = F.size("attempts")
    draft_confirmed, other_answer_wins = F.col("agreeing") * 2 > attempts, F.col("winner_votes") * 2 > attempts
    status = F.when(draft_confirmed, AnswerStatus.AGREED).when(other_answer_wins, AnswerStatus.CORRECTED)
    broken = F.array_compact("attempts.broken")
    evidence = F.concat_ws(
        " | ",
        F.concat(F.lit("draft: "), "answer"),
        F.concat(F.lit("blind: "), F.to_json("blind.answer")),
        F.when(F.size(broken) > 0, F.concat(F.lit("broken text: "), F.array_join(broken, ", "))),
    )
    no_majority = F.when(F.size("blind") == 0, breaks_rule(NO_BLIND_ANSWER, evidence)).otherwise(
        breaks_rule(DISPUTED, evidence)
    )
    rows = rows.withColumn("status", status).withColumn("broken_rule", F.when(F.col("status").isNull(), no_majority))
    corrected = F.col("status") == AnswerStatus.CORRECTED
    decided = rows.where(F.col("status").isNotNull()).withColumns(
        {
            "draft_answer": F.col("answer"),
            "answer": F.when(corrected, F.col("winner.answer")).otherwise(F.col("answer")),
            "solution": F.when(corrected, F.coalesce("winner.solution", F.lit(""))).otherwise(F.col("solution")),
            "votes": F.when(corrected, F.col("winner_votes")).otherwise(F.col("agreeing")),
            "blind_answers": F.col("blind.answer"),
        }
    )
    extra = ("draft_answer", "status", "blind_answers", "votes", "refiner", "request_ids")
    return decided.select(*DRAFT.schema.names, *extra), reject_rows(rows, "refine", "draft_id", F.col("request_ids"))


def rewrite_requests(decided: DataFrame, spec: ModelSpec, conf: Refine) -> DataFrame:
    """One request a decided draft: rewrite the solution, the final answer unchanged."""
    template = prompts.load("rewrite")
    prompt = template.render(F.col("lang"), question=_question(), solution=F.col("solution"), answer=F.col("answer"))
    rows = decided.select("draft_id", "lang", "format", "question", "choices", "solution", "answer")
    requests = with_request(rows, "refine", spec, template, prompt, conf.rewrite, structured=_reply_constraint())
    return requests.select("draft_id", *(c for c in requests.columns if c not in rows.columns))


def finish(
    decided: DataFrame, requests: DataFrame, completions: DataFrame, control_tokens: Iterable[str] = ()
) -> DataFrame:
    """Decided rows and their rewrites -> REFINED rows; a rewrite that fails or changes the answer is not used.

    `control_tokens` are those of the target tokenizer, escaped in the rewrite.
    """
    answered = completions.select(F.col("request_id").alias("rewrite_id"), "text", "finish_reason")
    replies = requests.select("draft_id", F.col("request_id").alias("rewrite_id")).join(answered, "rewrite_id", "inner")
    rewrites = _with_reply(replies, control_tokens).drop("text", "finish_reason")
    rows = decided.join(rewrites, "draft_id", "inner")
    rows = rows.withColumns({"new_answer": F.col("reply.answer"), "new_solution": F.col("reply.solution")})
    compared = _compare(rows, F.array_compact(F.array("new_answer")))
    unchanged = compared.select("draft_id", F.get("equal", F.lit(0)).alias("unchanged"))
    usable = F.col("unchanged") & F.col("new_solution").isNotNull()
    outcome = F.when(usable, Rewrite.USED).when(F.col("new_answer").isNotNull(), Rewrite.CHANGED_ANSWER)
    outcome = outcome.when(F.col("reply.broken").isNotNull(), Rewrite.BROKEN)
    rows = rows.join(unchanged, "draft_id", "inner").withColumns(  # both unique by draft_id
        {
            "rewrite": outcome.otherwise(Rewrite.NONE),
            "solution": F.when(usable, F.col("new_solution")).otherwise(F.col("solution")),
            "request_ids": F.concat("request_ids", F.array("rewrite_id")),
        }
    )
    return rows.select(*REFINED.schema.names)
