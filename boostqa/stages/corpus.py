"""Records of another corpus, benchmarks -> corpus. Grain: one record, kept or left out with its rule. Key: source, file, line.

Documents that stand beside what is made here in a mix. They are taken as they are, but for control tokens, which are escaped
(boostqa/control_tokens.py). Left out are records without a text, an allowed licence or a name that it asks for, repeats of a text, token ids
that the text has not under the target tokenizer, and what holds a benchmark's item word for word. Not known here: near duplicates.
"""

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Seed
from boostqa.control_tokens import control_tokens, escaped
from boostqa.languages import language_of
from boostqa.licensing import owes_attribution
from boostqa.schemas import CORPUS
from boostqa.stages.rejects import Check, Rule, first_broken
from boostqa.vocabulary import NO_ROUND
from udfs import licences
from udfs import text as text_udfs
from udfs.rendering import SPAN

MALFORMED, NO_TEXT, CONTAMINATED = (Rule(name, None) for name in ("malformed", "missing_field", "contaminated"))
LICENCE_MISSING, LICENCE_NOT_ALLOWED = Rule("licence_missing", None), Rule("licence_not_allowed", None)
ATTRIBUTION_MISSING, DUPLICATE = Rule("attribution_missing", None), Rule("exact_duplicate", None)
UNUSABLE_TOKEN_IDS = Rule("unusable_token_ids", None)


def decoded(records: DataFrame, tokenizer_json: str) -> DataFrame:
    """RECORD rows with `token_ids` -> the same with their `text` under the tokenizer, control tokens at its ends left out; `other`
    says what is wrong with the ids: the text has others, or there is a control token inside, as where documents are packed."""

    @F.pandas_udf("text string, other string")  # type: ignore[call-overload]
    def decode(ids: pd.Series) -> pd.DataFrame:
        return text_udfs.decode(ids, tokenizer_json)

    return records.withColumn("decoded", decode("token_ids")).select("*", "decoded.other", "decoded.text")


def judged(records: DataFrame, tokenizer_json: str, conf: Seed) -> DataFrame:
    """RECORD rows, with `other` where they had token ids -> CORPUS columns without `state`, `broken_rule` (struct of rule and
    evidence; null in what is kept) in place of `rule` and `evidence`. Licences are those of `conf`'s list."""

    @F.pandas_udf("string")  # type: ignore[call-overload]
    def used(names: pd.Series) -> pd.Series:
        return licences.licences_used(names, tuple(conf.licences))

    @F.pandas_udf("int")  # type: ignore[call-overload]
    def count(texts: pd.Series) -> pd.Series:
        return text_udfs.count_tokens(texts, tokenizer_json)

    text = F.when(F.col("text").rlike(r"\S"), escaped(F.col("text"), control_tokens(tokenizer_json).values()))
    other = F.col("other") if "other" in records.columns else F.lit(None).cast("string")
    rows = records.withColumns({"text": text, "used": used("licence"), "other": other})
    document_id = F.sha2(F.concat_ws("\x1f", "source", "text"), 256)
    lang = language_of(F.col("lang"), F.col("text"), tuple(conf.languages))
    rows = rows.withColumns({"document_id": document_id, "tokens": count("text"), "lang": lang})
    checks = (
        Check(MALFORMED, F.col("raw").isNotNull(), F.col("raw")),
        Check(UNUSABLE_TOKEN_IDS, F.col("other").isNotNull(), F.col("other")),
        Check(NO_TEXT, F.col("text").isNull(), F.lit("text")),
        Check(LICENCE_MISSING, F.col("licence").isNull(), F.lit(None)),
        Check(LICENCE_NOT_ALLOWED, F.col("used").isNull(), F.col("licence")),
        Check(ATTRIBUTION_MISSING, owes_attribution(F.col("used"), F.col("attribution")), F.col("used")),
    )
    rows = rows.withColumn("broken_rule", first_broken(checks))
    # Of equal texts the first one that may be used; the others are parted, so that they come into no single task.
    alone = F.concat_ws(":", "file", "line")
    of = F.when(F.col("broken_rule").isNull(), F.col("document_id")).otherwise(alone)
    place = F.row_number().over(Window.partitionBy("of").orderBy("file", "line"))
    rows = rows.withColumn("of", of).withColumn("place", place)
    again = first_broken([Check(DUPLICATE, F.col("place") > 1, F.col("document_id"))])
    broken = F.coalesce("broken_rule", again)
    return rows.withColumns({"licence": F.col("used"), "broken_rule": broken}).select(
        *(name for name in CORPUS.schema.names if name not in ("rule", "evidence", "state")), "broken_rule"
    )


def as_seeds(judged: DataFrame) -> DataFrame:
    """What is kept, as decontamination looks at seeds."""
    nothing = (F.lit(None).cast("string").alias("question"), F.lit(None).cast("array<string>").alias("choices"))
    kept = judged.where("broken_rule is null")
    return kept.select(F.col("document_id").alias("seed_id"), "source", "text", *nothing)


def rows(judged: DataFrame, leaks: DataFrame, state: str) -> DataFrame:
    """`judged` rows and leaks [seed_id, kind, evidence] (unique by seed_id) of them -> CORPUS rows."""
    found = leaks.select(F.col("seed_id").alias("document_id"), F.col("evidence").alias("leak"))
    each = judged.join(found, "document_id", "left")
    leak = F.when(
        F.col("leak").isNotNull(), F.struct(F.lit(CONTAMINATED.name).alias("rule"), F.col("leak").alias("evidence"))
    )
    broken = F.coalesce("broken_rule", leak)
    each = each.withColumns({"rule": broken["rule"], "evidence": broken["evidence"], "state": F.lit(state)})
    return each.select(*CORPUS.schema.names)


def documents(corpus: DataFrame, component: str, columns: list[str]) -> DataFrame:
    """CORPUS rows without a rule, as stages/mix.py renders items: of no round, seed, cell, strategy, format or layout."""
    told: dict[str, Column] = {
        "component": F.lit(component), "round": F.lit(NO_ROUND), "layout": F.lit("as it is"),
        "draft_ids": F.array().cast("array<string>"), "spans": F.array().cast(f"array<{SPAN}>"),
        "control_tokens": F.array().cast("array<string>"),
    }  # fmt: skip
    nothing = F.lit(None).cast("string")
    own = {name: F.col(name) for name in corpus.columns}
    return corpus.select(*((told | own).get(name, nothing).alias(name) for name in columns))
