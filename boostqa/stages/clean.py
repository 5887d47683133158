"""refined, seed, benchmarks -> clean, contamination, rejects. Grain: one item. Key: draft_id.

Four steps, because the result of each is read more than once by the next; the caller stores it in between:
    unfit = rejects_of_unfit(refined, seeds, conf)                                 # persist
    rejected = rejects_with_duplicates(refined, unfit, seeds, conf)                   # persist: MinHash
    contamination = contaminate(refined, rejected, seeds, benchmarks, conf)   # write and read back: n-grams
    rows, contaminated = clean(refined, rejected, contamination, seeds)       # all rejects: rejected and contaminated

What may disappear: items that a named rule finds unfit, duplicates among drafts and of seeds, items that share text
with a benchmark; each is rejected once, for the first reason in this order. What it does not know: whether a question
is right, and paraphrases.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Clean
from boostqa.control_tokens import unescaped
from boostqa.matching_text import cjk_characters
from boostqa.prose import repeated_share
from boostqa.schemas import CLEAN
from boostqa.stages import decontaminate, deduplicate
from boostqa.stages.rejects import Check, Rule, breaks_rule, first_broken, reject_rows
from boostqa.stages.wording import is_multiple_choice, separated
from boostqa.vocabulary import DRAFT_LETTERS, Cause

QUESTION_TOO_SHORT = Rule("question_too_short", Cause.RULE)
QUESTION_TOO_LONG = Rule("question_too_long", Cause.RULE)
REFERS_TO_PASSAGE = Rule("refers_to_passage", Cause.RULE)
CHAT_TURN = Rule("chat_turn", Cause.RULE)
REPETITION = Rule("repetition", Cause.RULE)
CHOICES_INVALID = Rule("choices_invalid", Cause.RULE)
EMPTY_ANSWER = Rule("empty_answer", Cause.RULE)
LANGUAGE_MISMATCH = Rule("language_mismatch", Cause.RULE)
PLACEHOLDER = Rule("placeholder", Cause.RULE)
CONTAMINATED = Rule("contaminated", Cause.CONTAMINATION)
RULES = (
    *(QUESTION_TOO_SHORT, QUESTION_TOO_LONG, REFERS_TO_PASSAGE, CHAT_TURN, REPETITION, CHOICES_INVALID),
    *(EMPTY_ANSWER, LANGUAGE_MISMATCH, PLACEHOLDER, *deduplicate.RULES, CONTAMINATED),
)

_MIN_CHINESE_SHARE = 0.05  # of the letters of a question in Chinese; formulas are the rest
_MAX_CHINESE_SHARE = 0.5  # of the letters of a question in English
# The limit of `repetition`: a margin above what all but one in a thousand seeds hold, between two bounds. Of 7,733 chunks
# and exercises of OpenStax that is 0.37, of 5,443 Chinese ones (OI wiki, chemistry) 0.28, at most 0.44 and 0.57; texts
# that run in circles have 0.7 and more. The lower bound is for few seeds, the upper one for seeds that repeat themselves.
_SEED_QUANTILE, _SEED_MARGIN, _LOWEST_LIMIT, _HIGHEST_LIMIT = 0.999, 0.1, 0.4, 0.6

_TEXT = "(?:passage|text|excerpt|article|paragraph)"
_FIGURE = "(?:figure|diagram|graph|picture|image|chart|table|illustration)"
_CITED = r"(?:according to|based on|(?:described|stated|mentioned|discussed|explained|given) in|refer(?:ring)? to)"
_WHICH = r"(?:the|this) (?:(?:above|given|following|provided|preceding) )?"
_WHICH_ZH = "(?:上|前|本|下|原|以上|上述|下面|下列|以下|该|这)?(?:一?[段篇]|面的)?"
_PASSAGE = "|".join(
    (
        rf"(?i:\b{_CITED} {_WHICH}(?:{_TEXT}|section|chapter|document|reading)\b)",
        r"(?i:\b(?:in|from|by) (?:the|this) (?:passage|excerpt)\b(?! of)|\bin the text\b(?= above|[,.?]))",
        rf"(?i:\b{_TEXT} (?:above|below)\b|\b(?:above|preceding|provided) {_TEXT}\b)",
        r"(?i:\bthe (?:author|passage|text) (?:states|mentions|describes|says|suggests|explains|argues|implies)\b)",
        rf"(?i:\b(?:shown|depicted|illustrated|seen|given|described) in the (?:\w+ )?{_FIGURE}\b)",
        rf"(?i:\b{_FIGURE} (?:above|below)\b|\b(?:above|accompanying) {_FIGURE}\b|\bfollowing (?:figure|diagram)\b)",
        r"\b(?:Figure|Fig\.) ?\d|\b(?:Table|Example|Equation|Section|Chapter) \d+\.\d",
        f"(?:根据|依据|阅读|结合|参考){_WHICH_ZH}(?:短文|文章|文本|段落|材料|课文|文段|图表)|根据[上前本原]文",
        r"如[上下左右附]?[图表](?:所示|\s*\d|[，,：:甲乙中])|[上下左右附]图[中所是为，,]|[上下]表[中所]",
        "文中(?:提到|所述|指出|认为|作者|的)|上述(?:文章|文本|段落|短文)|[本上]文(?:中|所|介绍|提到)|本[章节](?:中|所|介绍)",
    )
)
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


def _with_repetition(refined: DataFrame, seeds: DataFrame, limit: float | None) -> DataFrame:
    """REFINED rows with `repetition`, of question or solution, and `most_repetition`: `limit`, or what follows from the
    seeds of the language."""
    repetition = F.greatest(repeated_share(F.col("question")), repeated_share(F.col("solution")))
    rows = refined.withColumn("repetition", repetition)
    if limit is not None:
        return rows.withColumn("most_repetition", F.lit(limit))
    usual = F.percentile_approx(repeated_share(F.col("text")), _SEED_QUANTILE)
    by_lang = seeds.groupBy("lang").agg((usual + _SEED_MARGIN).alias("most_repetition"))  # unique by lang
    bounded = F.least(F.greatest("most_repetition", F.lit(_LOWEST_LIMIT)), F.lit(_HIGHEST_LIMIT))
    return rows.join(F.broadcast(by_lang), on="lang", how="left").withColumn("most_repetition", bounded)


def _chat_turn() -> Column:
    """The first marker of a chat's turn in any field; empty where there is none."""
    fields = F.concat(F.array("question", "answer", "solution"), F.coalesce("choices", F.array()))
    found = F.transform(fields, lambda field: F.regexp_extract(unescaped(field), _CHAT_TURN, 0))
    return F.trim(F.array_join(F.filter(found, lambda marker: marker != ""), " "))


def _width() -> Column:
    """How much a question says, in letters: a Chinese or Japanese character says about as much as two of them."""
    return F.length(F.trim("question")) + cjk_characters(F.col("question"))


def _has_lettered_options() -> Column:
    """Whether an item has four different options and one of their letters as answer."""
    choices = F.col("choices")
    different = F.size(F.array_distinct(F.filter(F.transform(choices, lambda c: F.trim(c)), lambda c: c != "")))
    whole = (F.size(choices) == len(DRAFT_LETTERS)) & (different == len(DRAFT_LETTERS))
    return F.coalesce(whole, F.lit(False)) & F.col("answer").isin(*DRAFT_LETTERS)


def _chinese_share() -> Column:
    """Share of Chinese and Japanese characters among a question's letters, LaTeX commands left out."""
    question = F.col("question")
    letters = F.length(F.regexp_replace(question, r"(?:\\[a-zA-Z]+|\P{L})+", ""))
    return F.try_divide(cjk_characters(question), letters)


def _placeholder(everything: Column) -> Column:
    """What a model left over of a template, or a field that holds its own name; empty where there is none."""
    empty_form = F.filter(F.array("question", "answer", "solution"), lambda t: t.rlike(_EMPTY_FORM))
    empty_option = F.filter("choices", lambda c: F.trim(c).rlike(_EMPTY_OPTION))
    left_over = F.get(F.concat(empty_form, F.coalesce(empty_option, F.array())), F.lit(0))
    template = F.nullif(F.regexp_extract(everything, _TEMPLATE, 0), F.lit(""))
    return F.coalesce(template, F.concat_ws("", left_over))


def _checks(conf: Clean) -> tuple[Check, ...]:
    """The rules in order, over REFINED columns, `repetition` and `most_repetition`."""
    question, lang = F.col("question"), F.col("lang")
    everything = F.concat_ws("\n", "question", "choices", "answer", "solution")
    passage, chat = F.regexp_extract(question, _PASSAGE, 0), _chat_turn()
    chinese = _chinese_share()
    wrong_language = F.when(lang == "zh", chinese < _MIN_CHINESE_SHARE).when(lang == "en", chinese > _MAX_CHINESE_SHARE)
    invalid_options = is_multiple_choice() & ~_has_lettered_options()
    placeholder = _placeholder(everything)
    repeats = F.format_string("%.2f > %.2f", "repetition", "most_repetition")
    if conf.max_repetition is None:
        repeats = F.concat(repeats, F.lit(" of the seeds"))
    return (
        Check(QUESTION_TOO_SHORT, _width() < conf.min_question_characters, question),
        Check(QUESTION_TOO_LONG, F.length(question) > conf.max_question_characters, F.length(question)),
        Check(REFERS_TO_PASSAGE, passage != "", passage),
        Check(CHAT_TURN, chat != "", chat),
        Check(REPETITION, F.col("repetition") > F.col("most_repetition"), repeats),
        Check(CHOICES_INVALID, invalid_options, F.to_json(F.struct("choices", "answer"))),
        Check(EMPTY_ANSWER, F.trim("answer") == "", F.lit("")),
        Check(LANGUAGE_MISMATCH, wrong_language, F.concat_ws(" ", "lang", F.round(chinese, 2))),
        Check(PLACEHOLDER, placeholder != "", placeholder),
    )


def rejects_of_unfit(refined: DataFrame, seeds: DataFrame, conf: Clean) -> DataFrame:
    """REFINED rows, SEED rows -> rejects of those that break a named rule, the first that applies.

    Rules in order: `question_too_short` (a Chinese character counts as two), `question_too_long`, `refers_to_passage`,
    `chat_turn`, `repetition` (of the prose of question or solution, above `conf.max_repetition` or, where that is null,
    above what the seeds of the language show: their 0.999 quantile and 0.1, within 0.4 and 0.6), `choices_invalid`,
    `empty_answer`, `language_mismatch`, `placeholder`.
    """
    rows = _with_repetition(refined, seeds, conf.max_repetition)
    return _rejects(rows.withColumn("broken_rule", first_broken(_checks(conf))))


def _rejects(rows: DataFrame) -> DataFrame:
    """REJECT rows without request_ids: what an item cost stands in its draft and refined rows."""
    return reject_rows(rows, "clean", "draft_id")


def _comparable() -> Column:
    """Question and options as one text; neither their order nor their letters make another item."""
    item = separated(F.col("question"), F.col("choices"))
    return F.concat_ws("\n", item["question"], F.array_sort(item["choices"]))


def rejects_with_duplicates(refined: DataFrame, unfit: DataFrame, seeds: DataFrame, conf: Clean) -> DataFrame:
    """REFINED rows, rejects of `rejects_of_unfit`, SEED rows -> the rejects so far: `unfit`, then `exact_duplicate`
    among drafts, then `near_duplicate` and `near_duplicate_of_seed`, whose evidence is the keeper's id.

    Drafts are compared by question and options, with seeds by theirs, or by the text of a seed without a question.
    The caller persists `unfit` before, which is read six times here, and the result after.
    """
    fit = _without(refined, unfit)
    drafts = fit.select(F.col("draft_id").alias("item_id"), _comparable().alias("text"), F.lit(False).alias("is_seed"))
    twins = deduplicate.exact(drafts)
    text = F.when(F.col("question").isNull(), F.col("text")).otherwise(_comparable())
    known = seeds.select(F.col("seed_id").alias("item_id"), text.alias("text"), F.lit(True).alias("is_seed"))
    singles = drafts.join(twins, on="item_id", how="left_anti")  # twins: unique by item_id
    near = deduplicate.near(singles.unionByName(known), conf.minhash)
    broken_rule = F.struct("rule", F.col("keeper_id").alias("evidence")).alias("broken_rule")
    duplicates = twins.unionByName(near).select(F.col("item_id").alias("draft_id"), broken_rule)
    return unfit.unionByName(_rejects(duplicates))


def _without(refined: DataFrame, rejected: DataFrame) -> DataFrame:
    return refined.join(rejected.select(F.col("key").alias("draft_id")), on="draft_id", how="left_anti")


def contaminate(
    refined: DataFrame, rejected: DataFrame, seeds: DataFrame, benchmarks: DataFrame, conf: Clean
) -> DataFrame:
    """REFINED rows that are not `rejected` yet (result of `rejects_with_duplicates`) -> CONTAMINATION rows against
    [benchmark, item_id, question, choices, answer]; the passage of an item is its seed's text.

    The caller persists `benchmarks` before, which are read twice here, and writes the result before `clean`.
    """
    passages = seeds.select("seed_id", "source", F.col("text").alias("passage"))
    items = _without(refined, rejected).join(passages, on="seed_id", how="left")  # seeds: unique by seed_id
    return decontaminate.matches(items, benchmarks, conf)


def clean(
    refined: DataFrame, rejected: DataFrame, contamination: DataFrame, seeds: DataFrame
) -> tuple[DataFrame, DataFrame]:
    """REFINED rows less those `rejected` (result of `rejects_with_duplicates`) and those of `contamination`
    (CONTAMINATION rows) -> (CLEAN rows, rejects `contaminated`); all rejects of the stage are `rejected` and these.

    Source, licence and attribution come from the seed; a seed_id without seed leaves them null, which the contract
    refuses.
    """
    leaks = decontaminate.evidence(contamination)  # unique by draft_id
    left = _without(refined, rejected).join(leaks, on="draft_id", how="left")
    leak = F.col("evidence")
    left = left.withColumn("broken_rule", F.when(leak.isNotNull(), breaks_rule(CONTAMINATED, leak)))
    origin = seeds.select("seed_id", "source", "licence", "attribution")
    rows = left.where("broken_rule is null").join(origin, on="seed_id", how="left")  # seeds: unique by seed_id
    return rows.select(*CLEAN.schema.names), _rejects(left)
