"""Source files -> records (seed corpora) or items (benchmarks, probe items): the only reader of input files.

Grain: one row per record of a file; key (source, file, line). A malformed JSON line stays a row with `raw` set; a blank
line disappears but counts in the numbering. Small eager reads hold the conf against the files; the rest is lazy.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from boostqa.config import Config, Source
from boostqa.errors import ConfigError
from boostqa.languages import LANGUAGES, language_of
from boostqa.schemas.table import STRINGS
from boostqa.sources.answers import with_answers, with_options
from boostqa.sources.compressed import check_compressed
from boostqa.sources.fields import (
    check_json_fields,
    check_mapping,
    check_present,
    exact_line,
    field_names,
    field_text,
    field_tree,
    field_value,
    json_record,
    nested_in_json,
    nested_in_schema,
    no_object,
    no_text,
    not_utf8,
    readable_line,
)  # fmt: skip
from boostqa.sources.line_numbers import file_name, numbered
from boostqa.sources.listing import passed_over
from boostqa.sources.record import RECORD
from boostqa.sources.table_files import catalog_table, parquet_parts
from boostqa.vocabulary import Kind
from udfs import text as text_udfs

# Options of Spark's reader. JSON Lines are read as lines, in any compression Spark knows by its suffix (.gz, .zst).
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    "jsonl": ("text", {"lineSep": "\n"}),
    "text": ("text", {"wholetext": True, "recursiveFileLookup": True, "pathGlobFilter": "*.{md,txt}"}),
    "parquet": ("parquet", {}),  # by table_files.parquet_parts
    "delta": ("delta", {}),
    "table": ("table", {}),  # by table_files.catalog_table
}
_UNREAD = "unread_answer"
_RECORD_FIELDS = [n for n in RECORD.schema.names if n not in ("source", "file", "line", "raw", "kind", _UNREAD)]
_ITEM_FIELDS = ["id", "subject", "question", "choices", "answer", "solution", "lang", "discipline", "difficulty"]
_FILES_SHOWN = 5
_SHOWN = 300  # characters of a bad line or a foreign error message that are kept


def read_records(spark: SparkSession, source: Source, where: str | None = None) -> DataFrame:
    """The records of a source (`where` in the conf, for messages; default: a seed corpus), with exactly the columns of RECORD.

    A column that `source.fields` does not map is null; lang, licence and attribution fall back to the source's own where
    they are missing or blank. What is no UTF-8, or has a list or an object in place of a text, is malformed.
    With `source.limit` the records with the lowest xxhash64 of doc_id (else line) are taken; malformed lines all stay.
    Raises ConfigError when the path cannot be read or is empty, or when no record has a mapped field.
    """
    where = where or f"seed.sources[{source.name}]"
    if source.format == "text":
        rows = _texts(spark, source, where)
    else:
        rows = _mapped(spark, source, _RECORD_FIELDS, "text" if source.kind == Kind.DOCUMENT else "question", where)

    def default(column: str, value: str | None) -> Column:
        own = F.when(F.col(column).rlike(r"\S"), F.col(column))
        return F.when(F.col("raw").isNull(), F.coalesce(own, F.lit(value))).alias(column)

    return limited(rows, "doc_id", source.limit).select(
        F.lit(source.name).alias("source"),
        *("file", "line", "raw"),
        F.lit(source.kind).alias("kind"),
        *("doc_id", "title", "subject", "text", "question", "choices", "answer", _UNREAD),
        default("lang", source.lang),
        default("licence", source.licence),
        default("attribution", source.attribution),
    )


def read_items(spark: SparkSession, source: Source) -> DataFrame:
    """Benchmark, probe or control items: benchmark, item_id, subject, question, choices, answer, solution, lang,
    discipline, difficulty.

    question, choices, answer and solution are normalised as seeds are. An answer that means no option stays as it is written, but
    for a single letter, which would pass for the letter of an option.
    item_id is file:line where `id` is not mapped; lang is identified where neither the item nor `source.lang` names one;
    other columns that are not mapped are null.
    Raises ConfigError as read_records does, and for the first malformed line or item without a question: a benchmark
    with holes would hide leaks.
    """
    where = f"clean.benchmarks, probe.items or controls.sources[{source.name}]"
    if source.format == "text":
        raise ConfigError(f"{where}.format: items have fields: use jsonl, parquet, delta or table, got text")
    rows = _mapped(spark, source, _ITEM_FIELDS, "question", where)
    without_question = rows.where(~F.coalesce(F.col("question").rlike(r"\S"), F.lit(False)))
    if hole := without_question.orderBy("file", "line").first():
        got = f"not an object with the mapped fields: {hole.raw}" if hole.raw else "no question"
        raise ConfigError(f"{where}: {hole.file}:{hole.line}: {got}\n  fix: correct or remove the line")
    normalise = F.pandas_udf(text_udfs.normalise, "string")  # type: ignore[call-overload]
    normalise_each = F.pandas_udf(text_udfs.normalise, STRINGS)  # type: ignore[call-overload]
    return limited(rows, "id", source.limit).select(
        F.lit(source.name).alias("benchmark"),
        F.coalesce("id", F.concat_ws(":", "file", "line")).alias("item_id"),
        "subject",
        normalise("question").alias("question"),
        normalise_each("choices").alias("choices"),
        normalise(F.coalesce("answer", F.when(~F.col(_UNREAD).rlike("^[A-Z]$"), F.col(_UNREAD)))).alias("answer"),
        normalise("solution").alias("solution"),
        language_of(F.coalesce("lang", F.lit(source.lang)), F.col("question"), LANGUAGES).alias("lang"),
        *("discipline", "difficulty"),
    )


def check_ids(items: DataFrame, where: str) -> None:
    """Raise ConfigError that names the first of the ids which come twice in a source; `items` as read_items gives them, of
    sources that stand at `where` in the conf, stored by the caller."""
    ids = ("benchmark", "item_id")
    if twice := items.groupBy(*ids).count().where("count > 1").orderBy(*ids).first():
        raise ConfigError(
            f"{where}[{twice['benchmark']}]: {twice['count']} items have the id {twice['item_id']}; ids are unique in a source"
        )


def read_held_out(spark: SparkSession, config: Config) -> DataFrame:
    """What must be in no seed and no item: the items of all benchmarks and of the probe, as read_items gives them."""
    sources = [*config.clean.benchmarks, *config.probe.items]
    return reduce(DataFrame.unionByName, (read_items(spark, source) for source in sources))


def _nothing(column: str) -> Column:
    """What a column is that nothing is mapped to."""
    return F.lit(None).cast(STRINGS if column == "choices" else "string")


def limited(rows: DataFrame, key: str, limit: int | None) -> DataFrame:
    """The rows with the lowest hashes of `key`, else of their line, at most `limit`; malformed ones all stay."""
    if limit is None:
        return rows
    order = (F.xxhash64(F.coalesce(key, F.col("line").cast("string"))), "line", "file")
    taken = rows.where(F.col("raw").isNull()).orderBy(*order).limit(limit)
    return taken.unionByName(rows.where(F.col("raw").isNotNull()))


@contextmanager
def _readable(source: Source, where: str) -> Iterator[None]:
    """What Spark says while it reads, as ConfigError."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        if re.search("PATH_NOT_FOUND|TABLE_OR_VIEW_NOT_FOUND", str(error)):
            raise ConfigError(f"{where}.path: {source.path} does not exist or matches nothing; correct it") from None
        if "OutOfMemoryError" in str(error):
            raise  # no fault of the source: errors.cause tells it
        causes = re.findall(r"^Caused by: (?:[\w.$]+: )?(.+)$", str(error), re.MULTILINE)  # the last one names the file
        reason = " ".join((causes or [str(error)])[-1].split())[:_SHOWN]
        raise ConfigError(f"{where}.path: {source.path} cannot be read as {source.format}: {reason}") from error


def load_parts(spark: SparkSession, source: Source, where: str) -> list[DataFrame]:
    """The rows of the source as Spark reads them, in parts of one schema each."""
    kind, options = _READERS[source.format]
    with _readable(source, where):
        if kind == "parquet":
            parts = parquet_parts(spark, source.path)
        elif kind == "table":
            parts = [catalog_table(spark, source.path, where)]
        else:
            parts = [spark.read.format(kind).options(**options).load(source.path)]
        _check_listing(parts, source, where)
        filled = [df.where(F.col("value").rlike(r"\S")) if source.format == "jsonl" else df for df in parts]
        if source.format == "jsonl":
            check_compressed(parts[0], where)
        if all(df.isEmpty() for df in filled):
            raise ConfigError(f"{where}.path: {source.path} has no records in format {source.format}")
    return parts


def _check_listing(parts: list[DataFrame], source: Source, where: str) -> None:
    """Raise ConfigError for files that are there, but not for Spark."""
    endings = (".md", ".txt") if source.format == "text" else ()
    lost = passed_over(source.path, endings, source.format == "text") if source.format not in ("delta", "table") else []
    if lost and all(f.startswith("file:") for df in parts for f in df.inputFiles()):  # and no other file system's path
        shown = ", ".join(lost[:_FILES_SHOWN]) + (" ..." if len(lost) > _FILES_SHOWN else "")
        raise ConfigError(
            f"{where}.path: Spark does not see {len(lost)} file(s) of {source.path}: {shown}\n"
            "  fix: rename what is not named in UTF-8, remove links that lead nowhere"
        )


def _texts(spark: SparkSession, source: Source, where: str) -> DataFrame:
    """One row per .md or .txt file; `title` is its first Markdown heading."""
    if source.fields or source.kind != Kind.DOCUMENT:
        raise ConfigError(f"{where}: a text file is one document without fields; remove `fields` and `kind`")
    heading = F.regexp_extract("value", r"(?m)^#{1,6}[ \t]+(.{1,500}?)[ \t]*#*[ \t\r]*$", 1)
    known = {
        "doc_id": file_name(F.col("_metadata.file_name")),
        "title": F.nullif(heading, F.lit("")),
        "text": F.col("value"),
    }
    [df] = load_parts(spark, source, where)
    raw = not_utf8(F.col("value"), _SHOWN)
    return df.select(
        file_name(F.col("_metadata.file_path")).alias("file"),
        F.lit(1).cast("long").alias("line"),
        raw.alias("raw"),
        *(F.when(raw.isNull(), known.get(c, _nothing(c))).alias(c) for c in [*_RECORD_FIELDS, _UNREAD]),
    )


def _mapped(spark: SparkSession, source: Source, columns: list[str], required: str, where: str) -> DataFrame:
    """file, line, raw, unread_answer and `columns`: strings, choices a list of strings, null where `source.fields` maps
    nothing or the record is malformed."""
    check_mapping(source, columns, required, where)
    with _readable(source, where):
        rows = (_json_rows if source.format == "jsonl" else _typed_rows)(
            load_parts(spark, source, where), source, where
        )
        if "choices" in source.fields:
            rows = with_options(rows)
            if "answer" in source.fields:
                rows = with_answers(rows, source, where)
    sound = F.col("raw").isNull()
    values = {c: F.when(sound, F.col(c)).alias(c) for c in rows.columns}
    return rows.select("file", "line", "raw", *(values.get(c, _nothing(c).alias(c)) for c in [*columns, _UNREAD]))


def _json_rows(parts: list[DataFrame], source: Source, where: str) -> DataFrame:
    """file, line, raw and the mapped columns as text, options and lists as JSON."""
    [df] = parts
    check_json_fields(df.select(readable_line(F.col("value")).alias("value")), source, where)
    lines = numbered(df, {"value": F.col("value")}).where(F.col("value").rlike(r"\S"))
    lines = lines.withColumn("exact", exact_line(readable_line(F.col("value"))))
    read = lines.withColumn("record", json_record(source, F.col("exact")))
    fields = {c: F.col("record." + ".".join(f"`{n}`" for n in f.split("."))) for c, f in source.fields.items()}
    malformed = F.when(F.col("record").isNull(), F.left("value", F.lit(_SHOWN)))
    nested = F.left(no_text(fields, nested_in_json(source, F.col("exact"), fields)), F.lit(_SHOWN))
    raw = F.coalesce(not_utf8(F.col("value"), _SHOWN), malformed, nested)
    return read.select("file", "line", raw.alias("raw"), *(v.alias(c) for c, v in fields.items()))


def _typed_rows(parts: list[DataFrame], source: Source, where: str) -> DataFrame:
    """As _json_rows, of Parquet, Delta or a table."""
    check_present({name for df in parts for name in field_names(field_tree(df.schema))}, source, where)

    def rows(df: DataFrame) -> DataFrame:
        values = {c: field_text(df.schema, field) for c, field in source.fields.items()}
        as_stored = (field_value(df.schema, field).cast("string") for field in source.fields.values())
        faults = (no_object(df.schema, source), no_text(values, nested_in_schema(df.schema, source)))
        shown = (F.left(fault, F.lit(_SHOWN)) for fault in faults)
        raw = F.coalesce(*(not_utf8(value, _SHOWN) for value in as_stored), *shown)
        return numbered(df, {"raw": raw, **values})

    return reduce(DataFrame.unionByName, map(rows, parts))
