"""Records -> seeds, rejects: normalise, identify the language, drop by named rules, split documents.

Grain: one seed per document chunk or QA item, key seed_id. A record ends as at least one seed or at least one reject:
the rules of `_record_rules` drop it whole, then `too_short` (documents) and `duplicate` drop single chunks. Reject keys
are source:file:line, with #chunk where a chunk is meant. Does not know near duplicates, nor leaks beyond an equal question.
"""

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Seed
from boostqa.schemas import SEED, STRINGS
from udfs import text as text_udfs

_DRAWING = "(?:figures?|diagrams?|graphs?|pictures?|images?|photo(?:graph)?s?|illustrations?|sketch(?:es)?|drawings?)"
_POINTED = r"(?:accompanying|accompanied|following|preceding|previous|given)(?: [\w-]+){0,2}?"
_SHOWN = "(?:shown|seen|see|pictured|depicted|illustrated|represented)"
_PLACE = "(?:below|above|here|to the (?:left|right)|in part)"
_NO_TABLE_OR_FORMULA_FOLLOWS = r"(?![\s\S]*(?:\$\$|\|\s*---))"
# A question that needs a drawing: a placeholder, a numbered figure, words that point at a drawing, or sub-questions
# that were drawings and are now empty.
_FIGURE = "(?i)" + "|".join(
    (
        r"\[(?:figure|fig\.|image|picture|图)[^\]]*\]|!\[[^\]]*\]\(|<img\b",
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
_EVIDENCE = 200  # characters


def seeds(records: DataFrame, held_out: DataFrame, conf: Seed, tokenizer_json: str) -> tuple[DataFrame, DataFrame]:
    """(rows of schemas.SEED, rejects) of `records` (sources.RECORD).

    held_out: `question` of every probe item, normalised as read_items gives it. tokenizer_json: content of the target
    tokenizer's tokenizer.json. Rejects: stage, key, rule, evidence, request_ids (null). Both come from the same
    `judged` rows: a caller that writes both persists those and calls `parted`.
    """
    return parted(judged(records, held_out, conf, tokenizer_json))


def parted(rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """(seeds, rejects) of `judged` rows."""
    kept = rows.where(F.col("rule").isNull()).select(*SEED.schema.names)
    rejects = rows.where(F.col("rule").isNotNull()).select(
        F.lit("seed").alias("stage"), "key", "rule", "evidence", F.lit(None).cast(STRINGS).alias("request_ids")
    )
    return kept, rejects


def without_leaks(rows: DataFrame, leaks: DataFrame) -> DataFrame:
    """`judged` rows with rule `contaminated` where `leaks` [seed_id, evidence] (unique by seed_id) has the seed."""
    found = leaks.select("seed_id", F.col("evidence").alias("leak"))
    leaked = F.col("rule").isNull() & F.col("leak").isNotNull()
    marked = {
        "evidence": F.when(leaked, F.col("leak")).otherwise(F.col("evidence")),
        "rule": F.when(leaked, "contaminated").otherwise(F.col("rule")),
    }
    return rows.join(found, "seed_id", "left").withColumns(marked).drop("leak")


def judged(records: DataFrame, held_out: DataFrame, conf: Seed, tokenizer_json: str) -> DataFrame:
    """One row per chunk of a record that passed the record rules, and per record that did not.

    Columns: schemas.SEED, and key, rule, evidence; rule is null in a kept row. Inputs as for `seeds`.
    """
    ruled = _with_record_verdict(_normalised(records, conf.languages), held_out, conf)
    return _with_chunk_verdict(_chunks(ruled, conf.max_tokens, tokenizer_json), conf.min_characters)


def _is(kind: str) -> Column:
    return F.col("kind") == kind


def _normalised(records: DataFrame, languages: list[str]) -> DataFrame:
    """records in one spelling, blank is null; `text` is the document or the question, other content of QA items only.

    lang is the first subtag of the declared one, else identified.
    """
    normalise = F.pandas_udf(text_udfs.normalise, "string")  # type: ignore[call-overload]
    normalise_each = F.pandas_udf(text_udfs.normalise, STRINGS)  # type: ignore[call-overload]

    @F.pandas_udf("string")  # type: ignore[call-overload]
    def identify(text: pd.Series) -> pd.Series:
        return text_udfs.identify_language(text, tuple(languages))

    text = F.when(_is("document"), F.col("text")).when(_is("qa"), F.col("question"))
    declared = F.nullif(F.lower(F.regexp_extract("lang", "^[A-Za-z]+", 0)), F.lit(""))
    return records.select(
        *("source", "file", "line", "raw", "kind", "licence", "attribution"),
        F.coalesce("doc_id", F.concat_ws(":", "file", "line")).alias("doc_id"),
        F.nullif(normalise("title"), F.lit("")).alias("title"),
        F.nullif(normalise(text), F.lit("")).alias("text"),
        normalise_each(F.when(_is("qa"), F.col("choices"))).alias("choices"),
        F.nullif(normalise(F.when(_is("qa"), F.col("answer"))), F.lit("")).alias("answer"),
        F.coalesce(declared, identify(F.when(declared.isNull(), text))).alias("lang"),
    )


def _comparable(question: str) -> Column:
    """A question without case, spaces and punctuation; symbols (+, =, ...) stay, they carry meaning."""
    return F.lower(F.regexp_replace(question, r"[\s\p{Z}\p{P}]", ""))


def _with_record_verdict(rows: DataFrame, held_out: DataFrame, conf: Seed) -> DataFrame:
    """rows with `verdict` (rule, evidence): the first record rule that applies, null when none does."""
    probes = held_out.groupBy(_comparable("question").alias("comparable")).agg(F.min("question").alias("probe"))
    compared = rows.select("*", F.when(_is("qa"), _comparable("text")).alias("comparable"))
    joined = compared.join(F.broadcast(probes), on="comparable", how="left")  # unique on the right: grouped
    return joined.select(*rows.columns, _first(_record_rules(conf)).alias("verdict"))


def _record_rules(conf: Seed) -> list[tuple[str, Column, Column]]:
    """(rule, whether it applies, evidence) in order. Needs the columns of `_normalised` and probe."""
    text, licence = F.col("text"), F.col("licence")
    missing = F.when(text.isNull(), F.when(_is("qa"), "question").otherwise("text")).when(
        F.exists("choices", lambda option: option == ""), "choices"
    )
    lines = F.filter(F.split(text, "\n"), lambda line: line.rlike(r"\S"))
    drawn = F.filter(lines, lambda line: ~line.rlike(r"^#{1,6}\s"))
    captions_only = _is("document") & (F.size(drawn) > 0) & F.forall(drawn, lambda line: line.rlike(_CAPTION))
    # Symbols: neither letters, marks, numbers nor spaces.
    symbols, visible = (F.length(F.regexp_replace(text, f"[{c}]", "")) for c in (r"\s\p{Z}\p{L}\p{M}\p{N}", r"\s\p{Z}"))
    symbol_ratio = F.try_divide(symbols, visible)
    # Duplicate line character fraction of Gopher (Rae et al. 2021, table A1). Lines alone would condemn "$$" formulas.
    distinct = F.length(F.array_join(F.array_distinct(lines), ""))
    repetition = 1 - F.try_divide(distinct, F.length(F.array_join(lines, "")))
    return [
        ("malformed", F.col("raw").isNotNull(), F.col("raw")),
        ("missing_field", missing.isNotNull(), missing),
        ("licence_missing", ~F.coalesce(licence.rlike(r"\S"), F.lit(False)), F.lit("no licence")),
        ("licence_not_allowed", ~licence.isin(conf.licences), licence),
        ("figure_only", _is("qa") & text.rlike(_FIGURE), F.regexp_extract(text, _FIGURE, 0)),
        ("figure_only", captions_only, text),
        ("too_short", _is("qa") & (F.length(text) < conf.min_question_characters), text),
        ("symbol_ratio", symbol_ratio > conf.max_symbol_ratio, F.round(symbol_ratio, 3)),
        ("repetition", repetition > conf.max_repeated_line_ratio, F.round(repetition, 3)),
        ("language", ~F.col("lang").isin(conf.languages), F.col("lang")),
        ("probe_item", F.col("probe").isNotNull(), F.col("probe")),
    ]


def _first(rules: list[tuple[str, Column, Column]]) -> Column:
    def verdict(rule: str, evidence: Column) -> Column:
        return F.struct(F.lit(rule).alias("rule"), F.left(evidence.cast("string"), F.lit(_EVIDENCE)).alias("evidence"))

    return F.coalesce(*(F.when(applies, verdict(rule, evidence)) for rule, applies, evidence in rules))


def _chunks(rows: DataFrame, max_tokens: int, tokenizer_json: str) -> DataFrame:
    """Fan-out: one row per chunk of a document that passed, one per QA item and per dropped record (text null)."""

    @F.pandas_udf("array<struct<text:string,tokens:int>>")  # type: ignore[call-overload]
    def split(text: pd.Series) -> pd.Series:
        return text_udfs.split(text, tokenizer_json, max_tokens)

    @F.pandas_udf("int")  # type: ignore[call-overload]
    def count_tokens(text: pd.Series) -> pd.Series:
        return text_udfs.count_tokens(text, tokenizer_json)

    passed = F.col("verdict").isNull()
    other = [c for c in rows.columns if c != "text"]
    texts = rows.select(
        *other,
        F.when(_is("qa"), F.col("text")).alias("question"),
        F.when(passed & _is("qa"), _item_text()).alias("item"),
        F.when(passed & _is("document"), F.col("text")).alias("document"),
    )
    single = F.array(F.struct(F.col("item").alias("text"), count_tokens("item").alias("tokens")))
    pieces = F.posexplode(F.coalesce(split("document"), single)).alias("chunk", "piece")
    return texts.select(*other, "question", pieces).select(*other, "question", "chunk", "piece.text", "piece.tokens")


def _item_text() -> Column:
    """A QA item as text: question, options as "A. ..." lines, answer where known."""
    options = F.transform("choices", lambda option, i: F.concat(F.char(i + 65), F.lit(". "), option))
    label = F.when(F.col("lang") == "zh", "答案：").otherwise("Answer: ")
    return F.concat_ws("\n", "text", options, F.concat(label, "answer"))


def _with_chunk_verdict(chunks: DataFrame, min_characters: int) -> DataFrame:
    """judged rows: the chunk rules on what passed the record rules; of equal texts the first in the sources stays."""
    record_key = F.concat_ws(":", "source", "file", "line")  # one file may serve two sources
    chunk_key = F.concat(record_key, F.lit("#"), "chunk")
    short = _is("document") & (F.length("text") < min_characters)
    verdict = F.coalesce("verdict", _first([("too_short", short, F.col("text"))]))
    keyed = chunks.select(
        "*",
        verdict.alias("before"),
        F.when(F.col("verdict").isNull(), chunk_key).otherwise(record_key).alias("key"),
        F.sha2(F.concat_ws("\u001f", "source", "doc_id", "text"), 256).alias("seed_id"),
    )
    # Dropped rows stand alone in their group: they neither win nor lose against a twin.
    group = F.coalesce(F.when(F.col("before").isNull(), F.sha2("text", 256)), F.col("key"))
    window = Window.partitionBy(group).orderBy("source", "file", "line", "chunk")
    place, keeper = F.row_number().over(window).alias("place"), F.first("seed_id").over(window).alias("keeper")
    twins = keyed.select("*", place, keeper)
    last = F.coalesce("before", _first([("duplicate", F.col("place") > 1, F.col("keeper"))]))
    return twins.select(*SEED.schema.names, "key", last["rule"].alias("rule"), last["evidence"].alias("evidence"))
