"""draft -> refined, rejects. Grain: one draft whose answer was confirmed or corrected. Key: draft_id.

A second model answers the question blind (no passage, no draft answer) k times, each time with the options turned by one
more place. A draft that more than half of the attempts confirm is `agreed`; when more than half agree on another answer,
with a margin and by a voter that answers known questions, it is `corrected` and says so; else it is rejected as `disputed`.
Of a letter, which can be guessed, it takes as many as a guesser would hardly give. The solution is then rewritten; a
rewrite that changes the final answer is not used, and a solution that only repeats the answer is a reject.
"""

from collections.abc import Iterable
from math import comb

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import YES_NO, with_request
from boostqa.config import Refine, Sampling
from boostqa.matching_text import cjk_characters
from boostqa.schemas import DRAFT, REFINED
from boostqa.schemas.table import STRINGS
from boostqa.stages import tags
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.stages.wording import (
    answer_shape,
    is_multiple_choice,
    letter_before_turn,
    names_option,
    question_with_options,
    turned,
)
from boostqa.vocabulary import AnswerStatus, Cause, FinishReason, Rewrite
from udfs import answers

NO_BLIND_ANSWER = Rule("no_blind_answer", Cause.DISPUTE)
DISPUTED = Rule("disputed", Cause.DISPUTE)
NO_STEPS = Rule("no_steps", Cause.RULE)
RULES = (NO_BLIND_ANSWER, DISPUTED, NO_STEPS)
JUDGE = Sampling(temperature=0.0, top_p=1.0, max_tokens=8)
# A correction replaces what a writer worked out: two attempts of two, or two of three against one, are no more than chance
# for a voter that is right half of the time.
_FEWEST_ATTEMPTS, _MARGIN = 3, 2
# How likely a guesser may confirm a letter: as two right guesses of two among four options. Of 26 drafts that a weak voter
# (1.5B) confirmed by majority, 5 of 6 open ones were right, and 3 of the 13 lettered ones on which it was not unanimous.
_GUESSED = 1 / 16
_MOST_OPTIONS, _MOST_ATTEMPTS = 10, 32  # beyond, more than half are enough
# What a solution says beside its answer: letters and digits (a Chinese character counts twice), or one operation.
_FEWEST_LETTERS = 20
_SHOWN = 300  # characters of a solution in a reject
_ANSWER_IS = r"(?i)\b(?:so|thus|hence|therefore|the|right|correct|final|answer|option|choice|is|are)\b|因此|所以|正确|最终|答案|选项|[是为选]"
_OPERATION = r"[\p{N})}\]]\s*(?:[-+*/×÷·^]|\\(?:times|cdot|div)\b)\s*[\p{L}\p{N}({\\]"


def _turn(attempt: Column) -> Column:
    """By how many places the options of a row are turned in an attempt: a voter who likes one letter confirms nothing. They
    are not where the question or an option speaks of one by its letter."""
    by = F.pmod(F.xxhash64("draft_id") + attempt, F.size("choices")).cast("int")
    named = names_option(F.concat(F.array("question"), "choices"))
    return F.when(is_multiple_choice() & ~named, by).otherwise(0)


def votes_needed(attempts: int, options: int) -> int:
    """Of so many attempts at one of `options` letters the votes that make a majority and that a guesser gives with a
    probability of at most _GUESSED; all, where that takes more attempts."""
    chance = 1 / options

    def guessed(least: int) -> float:
        return sum(comb(attempts, n) * chance**n * (1 - chance) ** (attempts - n) for n in range(least, attempts + 1))

    return next((n for n in range(attempts // 2 + 1, attempts + 1) if guessed(n) <= _GUESSED), attempts)


def _with_reply(rows: DataFrame, control_tokens: Iterable[str]) -> DataFrame:
    """Rows with `text` and `finish_reason` of a reply -> the same and `reply`: struct of solution, answer (null where
    the attempt failed, was truncated or broken, or left it blank), and broken (what is no text, null where nothing
    is)."""
    read = tags.with_solution(rows.select("*", F.struct("*").alias("row")), tuple(control_tokens))
    whole = (F.col("finish_reason") == FinishReason.STOP) & F.col("broken").isNull()
    reply = F.struct(F.when(whole, F.col("answer")).alias("answer"), "solution", "broken")
    return read.select("row.*", reply.alias("reply"))


def _compare(rows: DataFrame, blind: Column) -> DataFrame:
    """[draft_id, answer, format] and an array of answers -> answers.SCHEMA, unique by draft_id."""
    pairs = rows.select("draft_id", "answer", blind.alias("blind"), is_multiple_choice().alias("multiple_choice"))
    return pairs.mapInPandas(answers.compare, answers.SCHEMA)


def blind_requests(
    drafts: DataFrame, spec: ModelSpec, conf: Refine, attempts: tuple[int, ...] | None = None
) -> DataFrame:
    """DRAFT rows -> `conf.blind_attempts` requests each (or those numbered `attempts`): the question with its options,
    nothing else of the draft; adds `attempt`."""
    lang, template = F.col("lang"), prompts.load("blind")
    form = prompts.wording("answer_form", answer_shape(), lang)
    seen = turned(F.col("choices"), _turn(F.col("attempt")))
    prompt = template.render(lang, question=question_with_options(F.col("question"), seen), answer_form=form)
    numbers = F.array(*map(F.lit, attempts or range(conf.blind_attempts)))
    requests = with_request(
        drafts.select("draft_id", "lang", "format", "question", "choices", F.explode(numbers).alias("attempt")),
        *("refine", spec, template, prompt, conf.blind),
        structured=tags.constraint_of_known_question(conf.blind.max_tokens),
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

    def unturned(attempt: Column) -> Column:
        letter = letter_before_turn(attempt["answer"], F.col("choices"), _turn(attempt["attempt"]))
        return attempt.withField("answer", F.when(is_multiple_choice(), letter).otherwise(attempt["answer"]))

    rows = drafts.join(per_draft, "draft_id", "inner").withColumn("attempts", F.transform("attempts", unturned))
    rows = rows.withColumn("blind", F.filter("attempts", lambda a: a["answer"].isNotNull()))
    return rows.join(_compare(rows, F.col("blind.answer")), "draft_id", "inner")  # both unique by draft_id


def undecided(votes: DataFrame) -> DataFrame:
    """[draft_id, position, lang, question, first, second]: the draft's answer and each blind answer of which the matcher
    cannot tell whether it means the same, each different answer once; `position` is that in `blind`."""
    pair = F.arrays_zip("equal", "leader", F.col("blind.answer").alias("second"))
    first = F.col("answer").alias("first")
    pairs = votes.select("draft_id", "lang", "question", first, F.posexplode(pair).alias("position", "pair"))
    open_pairs = pairs.where(F.col("pair.equal").isNull() & (F.col("pair.leader") == F.col("position")))
    return open_pairs.select("draft_id", "position", "lang", "question", "first", F.col("pair.second").alias("second"))


def judge_requests(pairs: DataFrame, spec: ModelSpec) -> DataFrame:
    """Pairs of answers [lang, question, first, second, ...] -> one request each, beside the other columns."""
    template, values = prompts.load("judge"), ("question", "first", "second")
    prompt = template.render(F.col("lang"), **{name: F.col(name) for name in values})
    return with_request(pairs, "refine", spec, template, prompt, JUDGE, structured=F.lit(YES_NO)).drop("lang", *values)


def judgements(completions: DataFrame) -> DataFrame:
    """The ledger -> [request_id, same]; null where a request failed, was refused or cut off: that is no judgement."""
    said = F.when(F.col("text") == "yes", True).when(F.col("text") == "no", False)
    return completions.select("request_id", F.when(F.col("finish_reason") == FinishReason.STOP, said).alias("same"))


def _with_judgements(votes: DataFrame, requests: DataFrame, completions: DataFrame) -> DataFrame:
    """Grain: a draft. Adds `judged` (position in `blind` -> whether the judge found it equal) and `request_ids`."""
    judged = requests.select("draft_id", "position", "request_id").join(judgements(completions), "request_id", "inner")
    per_draft = judged.groupBy("draft_id").agg(
        F.map_from_entries(F.collect_list(F.struct("position", "same"))).alias("judged"),
        F.array_sort(F.collect_list("request_id")).alias("judge_ids"),
    )
    judge_ids = F.coalesce("judge_ids", F.array().cast(STRINGS))
    rows = votes.join(per_draft, "draft_id", "left")  # both unique by draft_id
    return rows.withColumn("request_ids", F.concat(F.col("attempts.request_id"), judge_ids))


def _with_counts(rows: DataFrame) -> DataFrame:
    """Grain: a draft. Adds `agreeing` (attempts that confirm the draft's answer), `winner` (the blind attempt whose
    answer most attempts gave; the first of equals), `winner_votes`, `winner_differs` (whether it is known to mean another
    answer than the draft's) and `most_others` (votes of the strongest answer beside the winner's).

    A judged answer speaks for all that the matcher found equal to it: `leader` is the first of these. Where neither matcher
    nor judge can tell, an answer neither confirms nor contradicts.
    """
    found = F.transform("equal", lambda equal, i: F.coalesce(equal, F.try_element_at("judged", F.get("leader", i))))
    same_answer = F.transform("leader", lambda lead: F.size(F.filter("leader", lambda other: other == lead)))
    rows = rows.withColumns({"found": found, "same_answer": same_answer})
    agreeing = F.size(F.filter("found", lambda is_same: F.coalesce(is_same, F.lit(False))))
    rows = rows.withColumns({"agreeing": agreeing, "winner_votes": F.coalesce(F.array_max("same_answer"), F.lit(0))})
    place = F.array_position("same_answer", F.col("winner_votes")).cast("int") - 1
    rows = rows.withColumn("place", place)
    others = F.filter("same_answer", lambda votes, i: F.get("leader", i) != F.get("leader", F.col("place")))
    return rows.withColumns(
        {
            "winner": F.get("blind", F.col("place")),
            "winner_differs": F.coalesce(~F.get("found", F.col("place")), F.lit(False)),
            "most_others": F.coalesce(F.array_max(others), F.lit(0)),
        }
    )


def _status(voter_is_trusted: bool) -> Column:
    """agreed, corrected, or null where there is no majority that may be used."""
    attempts = F.size("attempts")
    table = [[votes_needed(n, m) for n in range(1, _MOST_ATTEMPTS + 1)] for m in range(2, _MOST_OPTIONS + 1)]
    of_letters = F.get(F.get(F.lit(table), F.size("choices") - 2), attempts - 1)
    majority = F.floor(attempts / 2) + 1
    enough = F.when(is_multiple_choice(), F.greatest(of_letters, majority)).otherwise(majority)
    other_wins = (F.col("winner_votes") >= enough) & (attempts >= _FEWEST_ATTEMPTS) & F.col("winner_differs")
    margin = F.col("winner_votes") - F.greatest("agreeing", "most_others") >= _MARGIN
    confirmed = F.when(F.col("agreeing") >= enough, AnswerStatus.AGREED)
    return confirmed.when(other_wins & margin & F.lit(voter_is_trusted), AnswerStatus.CORRECTED)


def decide(
    votes: DataFrame, requests: DataFrame, completions: DataFrame, voter_is_trusted: bool
) -> tuple[DataFrame, DataFrame]:
    """Votes and judgements -> (decided rows, rejects `no_blind_answer` or `disputed` with key draft_id).

    A majority is one of attempts, not of answers; of letters it takes votes_needed. A correction needs at least 3 attempts,
    2 votes more than any other answer has, one that is known to differ from the draft's, and a voter that is trusted
    (stages/power.py). Decided rows are DRAFT columns with the final answer and solution, and draft_answer, status, blind_answers, votes, refiner, request_ids.
    """
    rows = _with_counts(_with_judgements(votes, requests, completions))
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
    rows = rows.withColumn("status", _status(voter_is_trusted))
    rows = rows.withColumn("broken_rule", F.when(F.col("status").isNull(), no_majority))
    corrected = F.col("status") == AnswerStatus.CORRECTED
    # A letter in the solution of an attempt is one of its own order.
    solution = F.when(~(is_multiple_choice() & names_option(F.array("winner.solution"))), F.col("winner.solution"))
    decided = rows.where(F.col("status").isNotNull()).withColumns(
        {
            "draft_answer": F.col("answer"),
            "answer": F.when(corrected, F.col("winner.answer")).otherwise(F.col("answer")),
            "solution": F.when(corrected, F.coalesce(solution, F.lit(""))).otherwise(F.col("solution")),
            "votes": F.when(corrected, F.col("winner_votes")).otherwise(F.col("agreeing")),
            "blind_answers": F.col("blind.answer"),
        }
    )
    extra = ("draft_answer", "status", "blind_answers", "votes", "refiner", "request_ids")
    return decided.select(*DRAFT.schema.names, *extra), reject_rows(rows, "refine", "draft_id", F.col("request_ids"))


def rewrite_requests(decided: DataFrame, spec: ModelSpec, conf: Refine) -> DataFrame:
    """One request a decided draft: rewrite the solution, the final answer unchanged."""
    template, question = prompts.load("rewrite"), question_with_options(F.col("question"), F.col("choices"))
    prompt = template.render(F.col("lang"), question=question, solution=F.col("solution"), answer=F.col("answer"))
    rows = decided.select("draft_id", "lang", "format", "question", "choices", "solution", "answer")
    requests = with_request(
        *(rows, "refine", spec, template, prompt, conf.rewrite),
        structured=tags.constraint_of_known_question(conf.rewrite.max_tokens),
    )
    return requests.select("draft_id", *(c for c in requests.columns if c not in rows.columns))


def finish(
    decided: DataFrame, requests: DataFrame, completions: DataFrame, control_tokens: Iterable[str] = ()
) -> tuple[DataFrame, DataFrame]:
    """Decided rows and their rewrites -> (REFINED rows, rejects `no_steps` with key draft_id: neither the rewrite nor the
    solution before it shows how the answer comes about); a rewrite that fails or changes the answer is not used.

    `control_tokens` are those of the target tokenizer, escaped in the rewrite.
    """
    answered = completions.select(F.col("request_id").alias("rewrite_id"), "text", "finish_reason")
    replies = requests.select("draft_id", F.col("request_id").alias("rewrite_id")).join(answered, "rewrite_id", "inner")
    rewrites = _with_reply(replies, control_tokens).drop("text", "finish_reason")
    rows = decided.join(rewrites, "draft_id", "inner")
    rows = rows.withColumns({"new_answer": F.col("reply.answer"), "new_solution": F.col("reply.solution")})
    compared = _compare(rows, F.array_compact(F.array("new_answer")))
    unchanged = compared.select("draft_id", F.get("equal", F.lit(0)).alias("unchanged"))
    usable = F.col("unchanged") & F.coalesce(_shows_steps(F.col("new_solution")), F.lit(False))
    outcome = F.when(usable, Rewrite.USED).when(F.col("unchanged"), Rewrite.NO_STEPS)
    outcome = outcome.when(F.col("new_answer").isNotNull(), Rewrite.CHANGED_ANSWER)
    outcome = outcome.when(F.col("reply.broken").isNotNull(), Rewrite.BROKEN)
    rows = rows.join(unchanged, "draft_id", "inner").withColumns(  # both unique by draft_id
        {
            "rewrite": outcome.otherwise(Rewrite.NONE),
            "solution": F.when(usable, F.col("new_solution")).otherwise(F.col("solution")),
            "request_ids": F.concat("request_ids", F.array("rewrite_id")),
        }
    )
    without = F.when(~_shows_steps(F.col("solution")), breaks_rule(NO_STEPS, F.col("solution"), _SHOWN))
    rows = rows.withColumn("broken_rule", without)
    kept = rows.where("broken_rule is null").select(*REFINED.schema.names)
    return kept, reject_rows(rows, "refine", "draft_id", F.col("request_ids"))


def _shows_steps(solution: Column) -> Column:
    """Whether a solution says more than its row's answer."""
    without = F.when(is_multiple_choice(), solution).otherwise(F.replace(solution, F.col("answer"), F.lit("")))
    rest = F.regexp_replace(without, _ANSWER_IS, "")
    letters = F.regexp_replace(rest, r"[^\p{L}\p{N}]+", "")
    return (F.length(letters) + cjk_characters(letters) >= _FEWEST_LETTERS) | solution.rlike(_OPERATION)
