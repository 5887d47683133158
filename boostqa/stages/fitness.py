"""items, seeds -> rejects. Grain: one question-answer item that its own text shows to be unfit.

Used wherever an item is made or changed: on parsed drafts before anybody pays to label and check them, on controls, and
on what refine made of a draft. What it does not know: whether the answer is right, or the question worth asking.

Thresholds were set so that real items pass. Apart from what the rules are meant for ("all of the above", a passage or
figure that is not there) they reject 7 of 500 MMLU items, 4 of 500 of CMMLU, none of 500 of GSM8K, 1 of 300 of MATH, and
0.5% of 2,855 OpenStax exercises.
"""

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Clean
from boostqa.control_tokens import unescaped
from boostqa.formulas import let
from boostqa.matching_text import cjk_characters
from boostqa.prose import repeated_share
from boostqa.stages.final_answer import given_away, wrong_form
from boostqa.stages.prompt_echo import echo
from boostqa.stages.rejects import Check, Rule, breaks_rule, first_broken, reject_rows
from boostqa.stages.self_contained import reference
from boostqa.stages.task import cut_off, has_task, says_nothing
from boostqa.stages.wording import is_multiple_choice
from boostqa.vocabulary import DRAFT_LETTERS, Cause, Format
from udfs import conclusions, latex_syntax

QUESTION_TOO_SHORT = Rule("question_too_short", Cause.RULE)
QUESTION_TOO_LONG = Rule("question_too_long", Cause.RULE)
CHAT_TURN = Rule("chat_turn", Cause.RULE)
PLACEHOLDER = Rule("placeholder", Cause.RULE)
PROMPT_ECHO = Rule("prompt_echo", Cause.RULE)
EMPTY_ANSWER = Rule("empty_answer", Cause.RULE)
CHOICES_INVALID = Rule("choices_invalid", Cause.RULE)
OPTION_ON_OPTIONS = Rule("option_on_options", Cause.RULE)
LANGUAGE_MISMATCH = Rule("language_mismatch", Cause.RULE)
NO_TASK = Rule("no_task", Cause.RULE)
TRIVIAL = Rule("trivial", Cause.RULE)
REFERS_TO_PASSAGE = Rule("refers_to_passage", Cause.RULE)
CUT_OFF = Rule("cut_off", Cause.RULE)
BROKEN_LATEX = Rule("broken_latex", Cause.RULE)
ANSWER_GIVEN = Rule("answer_given", Cause.RULE)
ANSWER_FORM = Rule("answer_form", Cause.RULE)
EQUAL_OPTIONS = Rule("equal_options", Cause.RULE)
SOLUTION_DISAGREES = Rule("solution_disagrees", Cause.RULE)
REPETITION = Rule("repetition", Cause.RULE)
RULES = (
    *(QUESTION_TOO_SHORT, QUESTION_TOO_LONG, EMPTY_ANSWER, CHOICES_INVALID, CHAT_TURN, PLACEHOLDER, PROMPT_ECHO),
    *(OPTION_ON_OPTIONS, LANGUAGE_MISMATCH, REFERS_TO_PASSAGE, ANSWER_GIVEN, NO_TASK, TRIVIAL, BROKEN_LATEX, CUT_OFF),
    *(ANSWER_FORM, EQUAL_OPTIONS, SOLUTION_DISAGREES, REPETITION),
)

_MIN_CHINESE_SHARE = 0.05  # of the letters of a text in Chinese; formulas are the rest
_MAX_CHINESE_SHARE = 0.5  # of the letters of a text in English
_FEWEST_LETTERS = 40  # of a solution, below which its language is not told: formulas and names
# The limit of `repetition`: a margin above what all but one in a thousand seeds hold, between two bounds. Of 7,733
# chunks and exercises of OpenStax that is 0.37, of 5,443 Chinese ones (OI wiki, chemistry) 0.28, at most 0.44 and 0.57;
# texts that run in circles have 0.7 and more. The lower bound is for few seeds, the upper one for seeds that repeat.
_SEED_QUANTILE, _SEED_MARGIN, _LOWEST_LIMIT, _HIGHEST_LIMIT = 0.999, 0.1, 0.4, 0.6
_EVIDENCE = 500  # characters of it
_SEEDS = 2000  # of a language, by hash: folding all of a corpus would cost more than what it says

# A turn of a chat, or thoughts, that a model wrote into a field: a marker and its role at the beginning of a line, or a
# field that begins with thoughts. A marker as such is what a question may be about.
_ROLE = "(?:system|user|assistant|model|tool)"
_CHAT_TURN = (
    rf"(?m:^\s*(?:<\|im_start\|>{_ROLE}\b|<\|start_header_id\|>{_ROLE}<\|end_header_id\|>|<start_of_turn>{_ROLE}\b"
    rf"|<\|{_ROLE}\|>|<｜(?:User|Assistant)｜>|(?:<s>)?\[INST\] ))|\A\s*</?think(?:ing)?>"
)
_EMPTY_FORM = (
    r"(?i)^[\p{P}\p{S}\s]*(?:string|text|question|answer|solution|placeholder|todo|tbd|问题|答案)[\p{P}\p{S}\s]*$"
    r"|^[.…]+$"
)
_EMPTY_OPTION = r"(?i)^(?:(?:option|choice|选项) ?[a-d1-4]?|[.…]+|<[^<>]*>)$"
_TEMPLATE = (
    r"(?i)</?(?:question|answer|solution|choices|passage|topic)>|\{\{ ?\w*(?:question|answer|passage|topic) ?\}\}"
    r"|\[(?:insert|your) [^\[\]]*\]|lorem ipsum"
)
# An option about the others: which one is right then depends on their order, or two are.
_OF_OPTIONS = (
    r"(?i)^\W*(?:all|none|both|neither|either|any|each|two|more than one)(?: of)?(?: the| these| those)?"
    r" (?:above|them|these|those|(?:(?:above|other|following|given|preceding|previous) )?"
    r"(?:options?|choices?|answers?|statements?))\b"
    r"|^\W*(?:(?:both|only|options?|choices?|neither) )?\(?[A-D]\)? (?:and|or|nor|&) (?:option )?\(?[A-D]\)?"
    r"(?: only| above| are .*)?\W*$"
    r"|^(?:以上|上述|前述|前面)(?:选项|说法|答案|各项|[几三]项|[几三]者|[几三]种)?.{0,3}(?:是|对|正确|错误?|有可能)|^[都均全皆]不?(?:是|对|正确|错误?)$"
    r"|^\s*[A-D]\s*(?:和|与|、|或)\s*[A-D](?:项|都.{0,3})?\s*$"
)


def _chat_turn() -> Column:
    """The first marker of a chat's turn in any field; empty where there is none."""
    fields = F.concat(F.array("question", "answer", "solution"), F.coalesce("choices", F.array()))
    found = F.transform(fields, lambda field: F.regexp_extract(unescaped(field), _CHAT_TURN, 0))
    return F.trim(F.array_join(F.filter(found, lambda marker: marker != ""), " "))


def _width() -> Column:
    """How much a question says with its options, in letters; a Chinese or Japanese character says about as much as
    two."""
    item = F.when(is_multiple_choice(), F.concat_ws(" ", "question", "choices")).otherwise(F.col("question"))
    return F.length(F.trim(item)) + cjk_characters(item)


def _has_lettered_options() -> Column:
    """Whether an item has four different options and one of their letters as answer."""
    choices = F.col("choices")
    bare = F.transform(choices, lambda c: F.regexp_replace(c, r"[\s$]+|[.。]+\s*$", ""))
    different = F.size(F.array_distinct(F.filter(bare, lambda c: c != "")))
    whole = (F.size(choices) == len(DRAFT_LETTERS)) & (different == len(DRAFT_LETTERS))
    return F.coalesce(whole, F.lit(False)) & F.col("answer").isin(*DRAFT_LETTERS)


def _wrong_language(text: Column, fewest_letters: int) -> Column:
    """The share of Chinese and Japanese characters among a text's letters (code and LaTeX commands left out) where it
    does not fit `lang`; null where it does, or where there are fewer letters."""
    prose = F.regexp_replace(text, r"```[\s\S]*?(?:```|\z)|`[^`\n]*`", "")
    letters = F.length(F.regexp_replace(prose, r"\\[a-zA-Z]+|[^\p{L}\\]+|\\", ""))
    lang = F.col("lang")

    def wrong(share: Column) -> Column:
        unfit = F.when(lang == "zh", share < _MIN_CHINESE_SHARE).when(lang == "en", share > _MAX_CHINESE_SHARE)
        return F.when(unfit, share)

    return F.when(letters >= fewest_letters, let(F.try_divide(cjk_characters(prose), letters), wrong))


def _placeholder(everything: Column) -> Column:
    """What a model left over of a template, or a field that holds its own name; empty where there is none."""
    empty_form = F.filter(F.array("question", "answer", "solution"), lambda t: t.rlike(_EMPTY_FORM))
    empty_option = F.filter("choices", lambda c: F.trim(c).rlike(_EMPTY_OPTION))
    left_over = F.get(F.concat(empty_form, F.coalesce(empty_option, F.array())), F.lit(0))
    template = F.nullif(F.regexp_extract(everything, _TEMPLATE, 0), F.lit(""))
    return F.coalesce(template, F.concat_ws("", left_over))


def _trivial(question: Column) -> Column:
    """Whether the question asks nothing of its own, or is its own answer or option."""
    others = F.concat(F.array("answer"), F.coalesce("choices", F.array()))
    repeats = F.exists(others, lambda other: F.lower(F.trim(other)) == F.lower(F.trim(question)))
    return repeats | (~is_multiple_choice() & says_nothing(question))


def _in_python() -> tuple[Column, Column, Column]:
    """What udfs say of a row: LaTeX that does not parse, two options of one value, another answer in the solution."""

    @F.pandas_udf("string")  # type: ignore[call-overload]
    def latex(texts: pd.Series) -> pd.Series:
        return latex_syntax.faults(texts)

    @F.pandas_udf("string")  # type: ignore[call-overload]
    def equal_options(choices: pd.Series) -> pd.Series:
        return conclusions.equal_options_of_all(choices)

    @F.pandas_udf("string")  # type: ignore[call-overload]
    def disagreement(items: pd.DataFrame) -> pd.Series:
        return conclusions.disagreements(items)

    fields = F.concat(F.array("question", "answer", "solution"), F.coalesce("choices", F.array()))
    calculation = (F.col("format") == Format.CALCULATION).alias("calculation")
    options = F.when(is_multiple_choice(), F.col("choices")).alias("choices")
    item = F.struct("question", "solution", "answer", options, calculation)
    return latex(fields), equal_options(options), disagreement(item)


def _found(rule: Rule, evidence: Column) -> Column:
    """The rule as broken where it saw something; the evidence, which costs, is computed once."""
    return let(evidence, lambda seen: F.when(seen != "", breaks_rule(rule, seen, _EVIDENCE)))


def _broken(conf: Clean) -> Column:
    """struct(rule, evidence) of the first rule that an item breaks, cheap ones first; null for a fit one."""
    question, solution, answer, choices, lang = map(F.col, ("question", "solution", "answer", "choices", "lang"))
    everything = F.concat_ws("\n", "question", "choices", "answer", "solution")
    others = F.concat(F.coalesce(choices, F.array()), F.array(answer, solution))
    about_options = F.when(is_multiple_choice(), F.get(F.filter(choices, lambda c: c.rlike(_OF_OPTIONS)), F.lit(0)))
    of_solution = F.when(F.col("format") != Format.PROGRAMMING, _wrong_language(solution, _FEWEST_LETTERS))
    foreign = F.coalesce(_wrong_language(question, 1), of_solution)
    latex, equal, disagreement = _in_python()
    simple = (
        Check(QUESTION_TOO_SHORT, _width() < conf.min_question_characters, question),
        Check(QUESTION_TOO_LONG, F.length(question) > conf.max_question_characters, F.length(question)),
        Check(EMPTY_ANSWER, F.trim(answer) == "", F.lit("")),
        Check(CHOICES_INVALID, is_multiple_choice() & ~_has_lettered_options(), F.to_json(F.struct(choices, answer))),
    )
    return F.coalesce(
        first_broken(simple, _EVIDENCE),
        _found(CHAT_TURN, _chat_turn()),
        _found(PLACEHOLDER, _placeholder(everything)),
        _found(PROMPT_ECHO, echo(everything)),
        _found(OPTION_ON_OPTIONS, about_options),
        _found(LANGUAGE_MISMATCH, F.concat(lang, F.lit(" "), F.round(foreign, 2))),
        _found(REFERS_TO_PASSAGE, reference(question, others)),
        _found(ANSWER_GIVEN, given_away(question, choices, answer)),
        _found(NO_TASK, F.when(~has_task(question, choices, lang), question)),
        _found(TRIVIAL, F.when(_trivial(question), question)),
        _found(BROKEN_LATEX, latex),
        _found(CUT_OFF, cut_off(question, solution)),
        _found(ANSWER_FORM, wrong_form(answer)),
        _found(EQUAL_OPTIONS, equal),
        _found(SOLUTION_DISAGREES, disagreement),
        _found(REPETITION, _repeats(question, solution, conf.max_repetition)),
    )


def _repeats(question: Column, solution: Column, limit: float | None) -> Column:
    """ "0.90 > 0.40" where more of the question or the solution repeats than `most_repetition`; null where not."""
    most, whose = F.col("most_repetition"), "" if limit is not None else " of the seeds"
    share = F.greatest(repeated_share(question), repeated_share(solution))
    return let(share, lambda s: F.when(s > most, F.format_string(f"%.2f > %.2f{whose}", s, most)))


def _with_limit(items: DataFrame, seeds: DataFrame, limit: float | None) -> DataFrame:
    """Items with `most_repetition`: `limit`, or what follows from seeds of the language."""
    if limit is not None:
        return items.withColumn("most_repetition", F.lit(limit))
    order = Window.partitionBy("lang").orderBy(F.xxhash64("seed_id"), "seed_id")
    sample = seeds.select("lang", "text", F.row_number().over(order).alias("place")).where(f"place <= {_SEEDS}")
    usual = F.percentile_approx(repeated_share(F.col("text")), _SEED_QUANTILE)
    by_lang = sample.groupBy("lang").agg((usual + _SEED_MARGIN).alias("most_repetition"))  # unique by lang
    bounded = F.least(F.greatest("most_repetition", F.lit(_LOWEST_LIMIT)), F.lit(_HIGHEST_LIMIT))
    return items.join(F.broadcast(by_lang), on="lang", how="left").withColumn("most_repetition", bounded)


def rejects(
    items: DataFrame,
    seeds: DataFrame,
    conf: Clean,
    stage: str,
    key: str = "draft_id",
    request_ids: Column | None = None,
) -> DataFrame:
    """Items [draft_id, seed_id, lang, format, grade, question, choices, answer, solution, ...] -> REJECT rows (key from
    column `key`, `request_ids` what a row has cost) of those that break a rule of RULES, the first in their order.

    A blank solution breaks no rule about solutions. Seeds give the limit of `repetition` where the conf gives none:
    what 2,000 of a language show, their 0.999 quantile and 0.1, within 0.4 and 0.6.
    """
    rows = _with_limit(items, seeds, conf.max_repetition)
    # Exploded, not filtered: Spark would push a filter below and apply all rules twice.
    broken = F.explode(F.array_compact(F.array(_broken(conf)))).alias("broken_rule")
    return reject_rows(rows.select("*", broken), stage, key, request_ids)
