"""refined, seed, benchmarks -> clean, contamination, rejects. Grain: one item. Key: draft_id.

Four steps, because the result of each is read more than once by the next; the caller stores it in between:
    kept, broken = rules(refined, conf)                                       # persist `broken`; `kept` is not needed
    screened = screen(refined, broken, seeds, conf)                           # persist: MinHash
    contamination = contaminate(refined, screened, seeds, benchmarks, conf)   # write and read back: n-grams
    rows, contaminated = clean(refined, screened, contamination, seeds)       # all rejects: screened and contaminated

What may disappear: items that a named rule finds unfit, duplicates among drafts and of seeds, items that share text
with a benchmark; each is rejected once, for the first reason in this order. What it does not know: whether a question
is right, and paraphrases.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Clean
from boostqa.schemas import CLEAN, REFINED, STRINGS
from boostqa.stages import decontaminate, deduplicate
from boostqa.stages.deduplicate import cjk_characters, folded, grams

_LETTERS = "ABCD"  # of the options of a multiple-choice item
_MIN_CHINESE_SHARE = 0.05  # of the letters of a question in Chinese; formulas are the rest
_MAX_CHINESE_SHARE = 0.5  # of the letters of a question in English
_REPEATED_WORDS, _REPEATED_CHARACTERS = 3, 6

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
_CHAT = r"<\|\w+\|>|<｜[^｜<>]+｜>|\[/?INST\]|<</?SYS>>|</?think>|<(?:start|end)_of_turn>|</s>"
_EMPTY_FORM = (
    r"(?i)^[\p{P}\p{S}\s]*(?:string|text|question|answer|solution|placeholder|todo|tbd|问题|答案)[\p{P}\p{S}\s]*$"
    r"|^[.…]+$"
)
_EMPTY_OPTION = r"(?i)^(?:(?:option|choice|选项) ?[a-d1-4]?|[.…]+|<[^<>]*>)$"
_TEMPLATE = (
    r"(?i)</?(?:question|answer|solution|choices|passage|topic)>|\{\{ ?\w*(?:question|answer|passage|topic) ?\}\}"
    r"|\[(?:insert|your) [^\[\]]*\]|lorem ipsum"
)


def _repetition(text: Column) -> Column:
    """Share of the runs of words (characters) that repeat an earlier one; null where the text is shorter than a run."""
    runs = grams(folded(text), _REPEATED_WORDS, _REPEATED_CHARACTERS)
    return 1 - F.try_divide(F.size(F.array_distinct(runs)), F.size(runs))


def _rejects(rows: DataFrame, rule: Column, evidence: Column) -> DataFrame:
    """One REJECT row (without run_id) per row; what an item cost stands in its draft and refined rows."""
    return rows.select(
        F.lit("clean").alias("stage"),
        F.col("draft_id").alias("key"),
        rule.alias("rule"),
        evidence.alias("evidence"),
        F.lit(None).cast(STRINGS).alias("request_ids"),
    )


def _first_rule(conf: Clean) -> Column:
    """struct(rule, evidence) of the first rule that an item breaks, else null."""
    question, choices, answer = F.col("question"), F.col("choices"), F.col("answer")
    everything = F.concat_ws("\n", question, choices, answer, "solution")
    # A Chinese or Japanese character is two columns wide and says about as much as two letters.
    width = F.length(F.trim(question)) + cjk_characters(question)
    options = F.size(F.array_distinct(F.filter(F.transform(choices, lambda c: F.trim(c)), lambda c: c != "")))
    four = (F.size(choices) == len(_LETTERS)) & (options == len(_LETTERS))
    lettered = F.coalesce(four, F.lit(False)) & answer.isin(*_LETTERS)
    letters = F.length(F.regexp_replace(question, r"(?:\\[a-zA-Z]+|\P{L})+", ""))  # less LaTeX commands
    chinese = F.try_divide(cjk_characters(question), letters)
    wrong_language = F.when(F.col("lang") == "zh", chinese < _MIN_CHINESE_SHARE).when(
        F.col("lang") == "en", chinese > _MAX_CHINESE_SHARE
    )
    empty_form = F.filter(F.array(question, answer, "solution"), lambda t: t.rlike(_EMPTY_FORM))
    empty_option = F.filter(choices, lambda c: F.trim(c).rlike(_EMPTY_OPTION))
    left_over = F.concat_ws("", F.get(F.concat(empty_form, F.coalesce(empty_option, F.array())), F.lit(0)))
    template = F.regexp_extract(everything, _TEMPLATE, 0)
    placeholder = F.coalesce(F.nullif(template, F.lit("")), left_over)
    passage, chat = F.regexp_extract(question, _PASSAGE, 0), F.regexp_extract(everything, _CHAT, 0)
    rules = (
        ("question_too_short", width < conf.min_question_characters, question),
        ("question_too_long", F.length(question) > conf.max_question_characters, F.length(question)),
        ("refers_to_passage", passage != "", passage),
        ("chat_tokens", chat != "", chat),
        ("repetition", F.col("repetition") > conf.max_repetition, F.round("repetition", 2)),
        ("choices_invalid", (F.col("format") == "multiple_choice") & ~lettered, F.to_json(F.struct(choices, answer))),
        ("empty_answer", F.trim(answer) == "", F.lit("")),
        ("language_mismatch", wrong_language, F.concat_ws(" ", "lang", F.round(chinese, 2))),
        ("placeholder", placeholder != "", placeholder),
    )
    found = (
        F.when(broken, F.struct(F.lit(name).alias("rule"), evidence.cast("string").alias("evidence")))
        for name, broken, evidence in rules
    )
    return F.coalesce(*found)


def rules(refined: DataFrame, conf: Clean) -> tuple[DataFrame, DataFrame]:
    """REFINED rows -> (REFINED rows that break no rule, rejects of the others; the first rule that applies).

    Rules in order: `question_too_short` (a Chinese character counts as two), `question_too_long`, `refers_to_passage`,
    `chat_tokens`, `repetition` (of question or solution), `choices_invalid`, `empty_answer`, `language_mismatch`,
    `placeholder`.
    """
    repetition = F.greatest(_repetition(F.col("question")), _repetition(F.col("solution")))
    judged = refined.withColumn("repetition", repetition).withColumn("found", _first_rule(conf))
    rejected = judged.where(F.col("found").isNotNull())
    kept = judged.where(F.col("found").isNull()).select(*REFINED.schema.names)
    return kept, _rejects(rejected, F.col("found.rule"), F.col("found.evidence"))


def _asked() -> Column:
    """Question and options as one text; their order does not make another item."""
    return F.concat_ws("\n", "question", F.array_sort("choices"))


def screen(refined: DataFrame, broken: DataFrame, seeds: DataFrame, conf: Clean) -> DataFrame:
    """REFINED rows, rejects of `rules`, SEED rows -> the rejects so far: `broken`, then `exact_duplicate` among drafts,
    then `near_duplicate` and `near_duplicate_of_seed`, whose evidence is the keeper's id.

    Drafts are compared by question and options, with seeds by theirs, or by the text of a seed without a question.
    The caller persists `broken` before, which is read six times here, and the result after.
    """
    kept = _without(refined, broken)
    drafts = kept.select(F.col("draft_id").alias("item_id"), _asked().alias("text"), F.lit(False).alias("is_seed"))
    twins = deduplicate.exact(drafts)
    text = F.when(F.col("question").isNull(), F.col("text")).otherwise(_asked())
    known = seeds.select(F.col("seed_id").alias("item_id"), text.alias("text"), F.lit(True).alias("is_seed"))
    singles = drafts.join(twins, on="item_id", how="left_anti")  # twins: unique by item_id
    near = deduplicate.near(singles.unionByName(known), conf.minhash)
    duplicates = twins.unionByName(near).withColumnRenamed("item_id", "draft_id")
    return broken.unionByName(_rejects(duplicates, F.col("how"), F.col("keeper_id")))


def _without(refined: DataFrame, screened: DataFrame) -> DataFrame:
    return refined.join(screened.select(F.col("key").alias("draft_id")), on="draft_id", how="left_anti")


def contaminate(
    refined: DataFrame, screened: DataFrame, seeds: DataFrame, benchmarks: DataFrame, conf: Clean
) -> DataFrame:
    """REFINED rows that `screened` (result of `screen`) has not rejected -> CONTAMINATION rows against
    [benchmark, item_id, question, choices, answer]; the passage of an item is its seed's text.

    The caller persists `benchmarks` before, which are read twice here, and writes the result before `clean`.
    """
    passages = seeds.select("seed_id", "source", F.col("text").alias("passage"))
    items = _without(refined, screened).join(passages, on="seed_id", how="left")  # seeds: unique by seed_id
    return decontaminate.matches(items, benchmarks, conf)


def clean(
    refined: DataFrame, screened: DataFrame, contamination: DataFrame, seeds: DataFrame
) -> tuple[DataFrame, DataFrame]:
    """REFINED rows less those of `screened` (result of `screen`) and of `contamination` (CONTAMINATION rows) ->
    (CLEAN rows, rejects `contaminated`); all rejects of the stage are `screened` and these.

    Evidence of `contaminated` is "benchmark/benchmark item field: match". Source, licence and attribution come from the
    seed; a seed_id without seed leaves them null, which the contract refuses.
    """
    evidence = F.concat(F.concat_ws("/", "benchmark", "benchmark_item"), F.lit(" "), "field", F.lit(": "), "match")
    leaks = contamination.groupBy("draft_id").agg(F.min(evidence).alias("evidence"))
    left = _without(refined, screened).join(leaks, on="draft_id", how="left")  # leaks: unique by draft_id
    origin = seeds.select("seed_id", "source", "licence", "attribution")
    rows = left.where(F.col("evidence").isNull()).join(origin, on="seed_id", how="left")  # seeds: unique by seed_id
    leaked = left.where(F.col("evidence").isNotNull())
    return rows.select(*CLEAN.schema.names), _rejects(leaked, F.lit("contaminated"), F.col("evidence"))
