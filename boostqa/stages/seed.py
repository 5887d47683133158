"""Records -> seeds, rejects: normalise, identify the language, drop by named rules, split documents.

Grain: one seed per document chunk or QA item, key seed_id. A record ends as at least one seed or at least one reject:
the rules of `_record_checks` drop it whole, then `too_short` (documents) and `duplicate` drop single chunks. Reject
keys are source:file:line, with #chunk where a chunk is meant. Does not know near duplicates, nor leaks beyond an equal
question.
"""

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Seed
from boostqa.control_tokens import escaped, escaped_each
from boostqa.languages import language_of
from boostqa.licensing import owes_attribution
from boostqa.matching_text import folded
from boostqa.prose import words_for_passages
from boostqa.schemas import SEED
from boostqa.schemas.table import STRINGS
from boostqa.stages.rejects import Check, Rule, breaks_rule, first_broken, reject_rows
from boostqa.stages.wording import answer_line, lettered, separated
from boostqa.vocabulary import Kind, MatchKind
from udfs import licences
from udfs import text as text_udfs
from udfs.control_tokens import control_tokens

# No model was asked before a seed is dropped: no tokens are lost.
MALFORMED = Rule("malformed", None)
MISSING_FIELD = Rule("missing_field", None)
UNREAD_ANSWER = Rule("unread_answer", None)
LICENCE_MISSING = Rule("licence_missing", None)
LICENCE_NOT_ALLOWED = Rule("licence_not_allowed", None)
ATTRIBUTION_MISSING = Rule("attribution_missing", None)
FIGURE_ONLY = Rule("figure_only", None)
TOO_SHORT = Rule("too_short", None)
TOO_LONG = Rule("too_long", None)
SYMBOL_RATIO = Rule("symbol_ratio", None)
REPETITION = Rule("repetition", None)
LANGUAGE = Rule("language", None)
PROBE_ITEM = Rule("probe_item", None)
DUPLICATE = Rule("duplicate", None)
CONTAMINATED = Rule("contaminated", None)
SIMILAR_TO_BENCHMARK = Rule("similar_to_benchmark", None)
RULES = (
    *(MALFORMED, TOO_LONG, MISSING_FIELD, UNREAD_ANSWER, LICENCE_MISSING, LICENCE_NOT_ALLOWED, ATTRIBUTION_MISSING),
    *(FIGURE_ONLY, TOO_SHORT, SYMBOL_RATIO, REPETITION, LANGUAGE, PROBE_ITEM, DUPLICATE, CONTAMINATED),
    SIMILAR_TO_BENCHMARK,
)

_DRAWING = "(?:figures?|diagrams?|graphs?|pictures?|images?|photo(?:graph)?s?|illustrations?|sketch(?:es)?|drawings?)"
_POINTED = r"(?:accompanying|accompanied|following|preceding|previous|given)(?: [\w-]+){0,2}?"
_SHOWN = "(?:shown|seen|see|pictured|depicted|illustrated|represented)"
_PLACE = "(?:below|above|here|to the (?:left|right)|in part)"
_NO_TABLE_OR_FORMULA_FOLLOWS = r"(?![\s\S]{0,2000}(?:\$\$|\|\s*---))"
# A question that needs a drawing: a placeholder, a numbered figure, words that point at a drawing, or sub-questions
# that were drawings and are now empty.
_FIGURE = "(?i)" + "|".join(
    (
        r"\[(?:figure|fig\.|image|picture|图)[^\]]{0,500}\]|!\[[^\]]{0,500}\]\(|<img\b",
        r"\b(?:figures?|fig\.)\s*\d",
        rf"\b(?:in|from|see|consider) (?:the|this|these|each)(?! same)(?: \w+)?? {_DRAWING}\b(?! of\b| for\b)",
        rf"\b(?:in|from|see|the|this|these) {_POINTED} {_DRAWING}\b",
        rf"\b(?:{_DRAWING}|circuits?|structures?) (?:shown|below|above|to the (?:left|right))\b",
        rf"\b{_SHOWN}(?: {_PLACE}\b|(?=\s*[.;?)]|$)){_NO_TABLE_OR_FORMULA_FOLLOWS}",
        r"\(a\)\s*\(b\)",
        r"如图(?!书|论)|(?<!以)[下上左右附]图(?!形|论|像)|图[中示]?所示|见图|图片|图\s?\d",
    )
)
_CAPTION = (
    r"(?i)^\s*(?:\[(?:figure|fig\.|image|图)[^\]]*\]|!\[.*\]\(.*\)|<img\b.*>|(?:figure|fig\.|图)\s*[\d.]+\s*[:：].*)$"
)
_LONGEST_CAPTION = 2000
_LONGEST_ITEM = 20_000  # characters of question, options and answer: an item is read as a whole, again and again
_EVIDENCE_CHARACTERS = 200
_UNREAD_ANSWER = (
    "answer `%s` is letter, index or text of none of the %s options; correct it or declare the source's `answers`"
)


def split_kept_and_rejected(rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """(SEED rows, rejects with key source:file:line) of `judged` rows."""
    return rows.where("broken_rule is null").select(*SEED.schema.names), reject_rows(rows, "seed", "key")


def without_leaks(rows: DataFrame, leaks: DataFrame) -> DataFrame:
    """`judged` rows, broken by `contaminated` or, where the kind is `similar`, by `similar_to_benchmark` where `leaks`
    [seed_id, kind, evidence] (unique by seed_id) has the seed."""
    is_similar, found = F.col("leak.kind") == MatchKind.SIMILAR, F.col("leak.evidence")
    leaked = F.when(is_similar, breaks_rule(SIMILAR_TO_BENCHMARK, found)).when(
        found.isNotNull(), breaks_rule(CONTAMINATED, found)
    )
    each = rows.join(leaks.select("seed_id", F.struct("kind", "evidence").alias("leak")), "seed_id", "left")
    return each.withColumn("broken_rule", F.coalesce("broken_rule", leaked)).drop("leak")


def judged(records: DataFrame, held_out: DataFrame, conf: Seed, tokenizer_json: str) -> DataFrame:
    """RECORD rows (boostqa/sources) -> one row per chunk of a record that passed the record rules, and per record that
    did not: SEED columns, `key`, and `broken_rule` (struct of rule and evidence), null in a kept row.

    held_out: `question` of every probe item, normalised as read_items gives it. tokenizer_json: content of the target
    tokenizer's tokenizer.json. `split_kept_and_rejected` parts the rows, which the caller persists.
    """
    ruled = _with_record_verdict(_normalised(records, conf), held_out, conf)
    return _with_chunk_verdict(_chunks(ruled, conf.max_tokens, tokenizer_json), conf.min_characters)


def _is(kind: Kind) -> Column:
    return F.col("kind") == kind


def _bounded(records: DataFrame) -> DataFrame:
    """records with `too_long`: the characters of a QA item that has too many, of which the beginning is left; else null."""
    size = F.length(F.concat_ws("", "question", "answer", "choices"))
    too_long = F.when(_is(Kind.QA) & (size > _LONGEST_ITEM), size)
    beginning = {
        "question": F.left("question", F.lit(_EVIDENCE_CHARACTERS)),
        "choices": F.lit(None),
        "answer": F.lit(None),
    }
    cut = {c: F.when(too_long.isNull(), F.col(c)).otherwise(short) for c, short in beginning.items()}
    return records.withColumns(cut | {"too_long": too_long})


def _normalised(records: DataFrame, conf: Seed) -> DataFrame:
    """records in one spelling, blank is null; `text` is the document or the question, other content of QA items only.

    lang is the declared one, else identified. `licence_used` is null where the licence does not permit the use.
    """
    normalise = F.pandas_udf(text_udfs.normalise, "string")  # type: ignore[call-overload]
    normalise_each = F.pandas_udf(text_udfs.normalise, STRINGS)  # type: ignore[call-overload]

    @F.pandas_udf("string")  # type: ignore[call-overload]
    def licence_used(licence: pd.Series) -> pd.Series:
        return licences.licences_used(licence, tuple(conf.licences))

    text = F.when(_is(Kind.DOCUMENT), F.col("text")).when(_is(Kind.QA), F.col("question"))
    return _bounded(records).select(
        *("source", "file", "line", "raw", "kind", "licence", "unread_answer", "too_long"),
        licence_used("licence").alias("licence_used"),
        F.nullif(normalise("attribution"), F.lit("")).alias("attribution"),
        F.coalesce(F.nullif(normalise("doc_id"), F.lit("")), F.concat_ws(":", "file", "line")).alias("doc_id"),
        F.nullif(normalise("title"), F.lit("")).alias("title"),
        F.nullif(normalise("subject"), F.lit("")).alias("subject"),
        F.nullif(normalise(text), F.lit("")).alias("text"),
        normalise_each(F.when(_is(Kind.QA), F.col("choices"))).alias("choices"),
        F.nullif(normalise(F.when(_is(Kind.QA), F.col("answer"))), F.lit("")).alias("answer"),
        language_of(F.col("lang"), text, tuple(conf.languages)).alias("lang"),
    )


def _comparable(question: Column, choices: Column) -> Column:
    """A question as it is compared with probe items: without options that stand in it."""
    return folded(separated(question, choices)["question"])


def _with_record_verdict(rows: DataFrame, held_out: DataFrame, conf: Seed) -> DataFrame:
    """rows with `broken_by_record`: the first record rule that applies, null when none does."""
    asked = held_out.select("question", _comparable(F.col("question"), F.lit(None).cast(STRINGS)).alias("comparable"))
    probes = asked.groupBy("comparable").agg(F.min("question").alias("probe"))
    comparable = F.when(_is(Kind.QA), _comparable(F.col("text"), F.col("choices")))
    compared = rows.select("*", comparable.alias("comparable"), words_for_passages(F.col("text")).alias("prose"))
    joined = compared.join(F.broadcast(probes), on="comparable", how="left")  # unique on the right: grouped
    broken = first_broken(_record_checks(conf), _EVIDENCE_CHARACTERS)
    taken = F.coalesce("licence_used", "licence").alias("licence")
    kept = [c for c in rows.columns if c not in ("licence", "licence_used", "unread_answer", "too_long")]
    return joined.select(*kept, taken, broken.alias("broken_by_record"))


def _missing_field() -> Column:
    """Name of the field without which a record is none; null where nothing is missing."""
    text_field = F.when(_is(Kind.QA), "question").otherwise("text")
    blank_option = F.exists("choices", lambda option: option == "")
    return F.when(F.col("text").isNull(), text_field).when(blank_option, "choices")


def _lines(text: Column) -> Column:
    """array<string>: the lines that are not blank."""
    return F.filter(F.split(text, "\n"), lambda line: line.rlike(r"\S"))


def _is_caption(line: Column) -> Column:
    return (F.length(line) <= _LONGEST_CAPTION) & line.rlike(_CAPTION)


def _only_captions(lines: Column) -> Column:
    """Whether a document is nothing but headings and captions of drawings."""
    drawn = F.filter(lines, lambda line: ~line.rlike(r"^#{1,6}\s"))
    return _is(Kind.DOCUMENT) & (F.size(drawn) > 0) & F.forall(drawn, _is_caption)


def _symbol_ratio(text: Column) -> Column:
    """Share of the visible characters that are neither letters, marks nor numbers."""
    symbols = F.length(F.regexp_replace(text, r"[\s\p{Z}\p{L}\p{M}\p{N}]", ""))
    return F.try_divide(symbols, F.length(F.regexp_replace(text, r"[\s\p{Z}]", "")))


def _repetition(lines: Column) -> Column:
    """Share of characters in repeated lines: the duplicate line character fraction of Gopher (Rae et al. 2021, table
    A1).

    A share of lines would condemn "$$" formulas.
    """
    distinct = F.length(F.array_join(F.array_distinct(lines), ""))
    return 1 - F.try_divide(distinct, F.length(F.array_join(lines, "")))


def _record_checks(conf: Seed) -> tuple[Check, ...]:
    """The rules of a record in order. Needs the columns of `_normalised` and `probe` (the equal probe item, or
    null) and `prose` (the text with a word for each formula, table or piece of code, which are symbols and repeat)."""
    text, licence, raw, probe = F.col("text"), F.col("licence"), F.col("raw"), F.col("probe")
    unread, allowed_language = F.col("unread_answer"), F.col("lang").isin(conf.languages)
    lines, prose = _lines(text), F.col("prose")
    missing, symbol_ratio, repetition = _missing_field(), _symbol_ratio(prose), _repetition(_lines(prose))
    has_licence = F.coalesce(licence.rlike(r"\S"), F.lit(False))
    return (
        Check(MALFORMED, raw.isNotNull(), raw),
        Check(TOO_LONG, F.col("too_long").isNotNull(), F.format_string("%s characters: %s", "too_long", text)),
        Check(MISSING_FIELD, missing.isNotNull(), missing),
        Check(UNREAD_ANSWER, unread.isNotNull(), F.format_string(_UNREAD_ANSWER, unread, F.size("choices"))),
        Check(LICENCE_MISSING, ~has_licence, F.lit("no licence")),
        Check(LICENCE_NOT_ALLOWED, F.col("licence_used").isNull(), licence),
        Check(ATTRIBUTION_MISSING, owes_attribution(F.col("licence_used"), F.col("attribution")), licence),
        Check(FIGURE_ONLY, _is(Kind.QA) & text.rlike(_FIGURE), F.regexp_extract(text, _FIGURE, 0)),
        Check(FIGURE_ONLY, _only_captions(lines), text),
        Check(TOO_SHORT, _is(Kind.QA) & (F.length(text) < conf.min_question_characters), text),
        Check(SYMBOL_RATIO, symbol_ratio > conf.max_symbol_ratio, F.round(symbol_ratio, 3)),
        Check(REPETITION, repetition > conf.max_repeated_line_ratio, F.round(repetition, 3)),
        Check(LANGUAGE, ~F.coalesce(allowed_language, F.lit(False)), F.coalesce("lang", F.lit("unknown"))),
        Check(PROBE_ITEM, probe.isNotNull(), probe),
    )


def _chunks(rows: DataFrame, max_tokens: int, tokenizer_json: str) -> DataFrame:
    """Fan-out: one row per chunk of a document that passed, one per QA item and per dropped record (text null).

    Control tokens of the tokenizer are escaped before anything is split, counted or hashed.
    """
    tokens = control_tokens(tokenizer_json).values()
    clear = {name: escaped(F.col(name), tokens) for name in ("title", "subject", "text", "answer")}
    rows = rows.withColumns({**clear, "choices": escaped_each(F.col("choices"), tokens)})

    @F.pandas_udf("array<struct<text:string,tokens:int>>")  # type: ignore[call-overload]
    def split(text: pd.Series) -> pd.Series:
        return text_udfs.split(text, tokenizer_json, max_tokens)

    @F.pandas_udf("int")  # type: ignore[call-overload]
    def count_tokens(text: pd.Series) -> pd.Series:
        return text_udfs.count_tokens(text, tokenizer_json)

    passed = F.col("broken_by_record").isNull()
    other = [c for c in rows.columns if c != "text"]
    texts = rows.select(
        *other,
        F.when(_is(Kind.QA), F.col("text")).alias("question"),
        F.when(passed & _is(Kind.QA), _item_text()).alias("item"),
        F.when(passed & _is(Kind.DOCUMENT), F.col("text")).alias("document"),
    )
    single = F.array(F.struct(F.col("item").alias("text"), count_tokens("item").alias("tokens")))
    pieces = F.posexplode(F.coalesce(split("document"), single)).alias("chunk", "piece")
    return texts.select(*other, "question", pieces).select(*other, "question", "chunk", "piece.text", "piece.tokens")


def _item_text() -> Column:
    """A QA item as text: question, options as "A. ..." lines, answer where known."""
    return F.concat_ws("\n", "text", lettered(F.col("choices")), answer_line(F.col("lang"), F.col("answer")))


def _with_chunk_verdict(chunks: DataFrame, min_characters: int) -> DataFrame:
    """judged rows: the chunk rules on what passed the record rules; of equal texts the first in the sources stays."""
    record_key = F.concat_ws(":", "source", "file", "line")  # one file may serve two sources
    chunk_key = F.concat(record_key, F.lit("#"), "chunk")
    too_short = _is(Kind.DOCUMENT) & (F.length("text") < min_characters)
    short = F.when(too_short, breaks_rule(TOO_SHORT, F.col("text"), _EVIDENCE_CHARACTERS))
    keyed = chunks.select(
        "*",
        F.coalesce("broken_by_record", short).alias("broken_alone"),
        F.when(F.col("broken_by_record").isNull(), chunk_key).otherwise(record_key).alias("key"),
        F.sha2(F.concat_ws("\u001f", "source", "doc_id", "text"), 256).alias("seed_id"),
    )
    # Dropped rows stand alone in their group: they neither win nor lose against a twin.
    group = F.coalesce(F.when(F.col("broken_alone").isNull(), F.sha2("text", 256)), F.col("key"))
    twins = Window.partitionBy(group).orderBy("source", "file", "line", "chunk")
    placed = keyed.withColumns({"place": F.row_number().over(twins), "keeper": F.first("seed_id").over(twins)})
    twin = F.when(F.col("place") > 1, breaks_rule(DUPLICATE, F.col("keeper"), _EVIDENCE_CHARACTERS))
    return placed.select(*SEED.schema.names, "key", F.coalesce("broken_alone", twin).alias("broken_rule"))
