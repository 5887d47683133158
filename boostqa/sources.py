"""Source files -> records (seed corpora) or items (benchmarks, probe items): the only reader of input files.

Grain: one row per record of a file; key (source, file, line). A malformed JSON line stays a row with `raw` set; a blank
line disappears but counts in the numbering. Small eager reads hold the conf against the files; the rest is lazy.
"""

import json
import os
from functools import reduce
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from boostqa.config import Source
from boostqa.errors import ConfigError
from boostqa.schemas import ATTRIBUTION, CHOICES, LONG, SOURCE, STRING, STRINGS, Table, column
from udfs import text as text_udfs

# What a source delivers to the seed stage; not a stored table.
RECORD = Table(
    "record",
    "one record of a source file as read, before any rule",
    ("source", "file", "line"),
    (
        SOURCE,
        column("file", STRING, "path of the input file"),
        column("line", LONG, "1-based line (JSON Lines), row number in the file (Parquet, Delta), 1 for a text file"),
        column("raw", STRING, "the malformed line itself; null when the record could be read", null=True),
        column("kind", STRING, "document | qa"),
        column("doc_id", STRING, "id inside the source", null=True),
        column("title", STRING, "title of the document or section", null=True),
        column("text", STRING, "document text; null for QA items", null=True),
        column("question", STRING, "question text; null for documents", null=True),
        CHOICES,
        column("answer", STRING, "reference answer, or the option letter", null=True),
        column("lang", STRING, "language declared by the source", null=True),
        column("licence", STRING, "licence declared by the record or by the source section", null=True),
        ATTRIBUTION,
    ),
)

# Options of Spark's reader. JSON Lines are read as lines, in any compression Spark knows by its suffix (.gz, .zst).
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    "jsonl": ("text", {"lineSep": "\n"}),
    "text": ("text", {"wholetext": True, "recursiveFileLookup": True, "pathGlobFilter": "*.{md,txt}"}),
    "parquet": ("parquet", {}),
    "delta": ("delta", {}),
}
_RECORD_FIELDS = [n for n in RECORD.schema.names if n not in ("source", "file", "line", "raw", "kind")]
_ITEM_FIELDS = ["id", "subject", "question", "choices", "answer", "lang", "discipline", "difficulty"]
_SHOWN = 300  # characters of a bad line or a foreign error message that are kept


def read_records(spark: SparkSession, source: Source) -> DataFrame:
    """The records of a seed source, with exactly the columns of RECORD.

    A column that `source.fields` does not map is null; lang, licence and attribution fall back to the source's own.
    With `source.limit` the records with the lowest xxhash64 of doc_id (else line) are taken; malformed lines all stay.
    Raises ConfigError when the path cannot be read or is empty, or when no record has a mapped field.
    """
    where = f"seed.sources[{source.name}]"
    if source.format == "text":
        rows = _texts(spark, source, where)
    else:
        rows = _mapped(spark, source, _RECORD_FIELDS, "text" if source.kind == "document" else "question", where)

    def default(column: str, value: str | None) -> Column:
        return F.when(F.col("raw").isNull(), F.coalesce(column, F.lit(value))).alias(column)

    return _limited(rows, "doc_id", source.limit).select(
        F.lit(source.name).alias("source"),
        *("file", "line", "raw"),
        F.lit(source.kind).alias("kind"),
        *("doc_id", "title", "text", "question", "choices", "answer"),
        default("lang", source.lang),
        default("licence", source.licence),
        default("attribution", source.attribution),
    )


def read_items(spark: SparkSession, source: Source) -> DataFrame:
    """Benchmark or probe items: benchmark, item_id, subject, question, choices, answer, lang, discipline, difficulty.

    question, choices and answer are normalised as seeds are. item_id is file:line where `id` is not mapped, lang falls
    back to `source.lang`, other columns that are not mapped are null.
    Raises ConfigError as read_records does, and for the first malformed line or item without a question: a benchmark
    with holes would hide leaks.
    """
    where = f"clean.benchmarks or probe.items[{source.name}]"
    if source.format == "text":
        raise ConfigError(f"{where}.format: items have fields: use jsonl, parquet or delta, got text")
    rows = _mapped(spark, source, _ITEM_FIELDS, "question", where)
    if broken := rows.where(~F.coalesce(F.col("question").rlike(r"\S"), F.lit(False))).orderBy("file", "line").first():
        got = f"not a JSON object with the mapped fields: {broken.raw}" if broken.raw else "no question"
        raise ConfigError(f"{where}: {broken.file}:{broken.line}: {got}\n  fix: correct or remove the line")
    normalise = F.pandas_udf(text_udfs.normalise, "string")  # type: ignore[call-overload]
    normalise_each = F.pandas_udf(text_udfs.normalise, STRINGS)  # type: ignore[call-overload]
    return _limited(rows, "id", source.limit).select(
        F.lit(source.name).alias("benchmark"),
        F.coalesce("id", F.concat_ws(":", "file", "line")).alias("item_id"),
        "subject",
        normalise("question").alias("question"),
        normalise_each("choices").alias("choices"),
        normalise("answer").alias("answer"),
        F.coalesce("lang", F.lit(source.lang)).alias("lang"),
        *("discipline", "difficulty"),
    )


def _limited(rows: DataFrame, key: str, limit: int | None) -> DataFrame:
    if limit is None:
        return rows
    order = (F.xxhash64(F.coalesce(key, F.col("line").cast("string"))), "line", "file")
    taken = rows.where(F.col("raw").isNull()).orderBy(*order).limit(limit)
    return taken.unionByName(rows.where(F.col("raw").isNotNull()))


def _load(spark: SparkSession, source: Source, where: str) -> DataFrame:
    kind, options = _READERS[source.format]
    try:
        df = spark.read.format(kind).options(**options).load(source.path)
        empty = (df.where(F.col("value").rlike(r"\S")) if source.format == "jsonl" else df).isEmpty()
    except (PySparkException, Py4JError) as error:
        if "PATH_NOT_FOUND" in str(error):
            raise ConfigError(f"{where}.path: {source.path} does not exist or matches nothing; correct it") from None
        reason = " ".join(str(error).split())[:_SHOWN]
        raise ConfigError(f"{where}.path: {source.path} cannot be read as {source.format}: {reason}") from error
    if empty:
        raise ConfigError(f"{where}.path: {source.path} has no records in format {source.format}")
    return df


def _file(path: Column) -> Column:
    """A file URI as people write it: local paths without scheme, relative when below the working directory."""
    decoded = F.url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
    return F.regexp_replace(F.regexp_replace(decoded, "^file:/+", "/"), rf"^\Q{os.getcwd().rstrip('/')}/\E", "")


def _numbered(df: DataFrame, columns: dict[str, Column]) -> DataFrame:
    """file, exact 1-based line and `columns` of a scan, at the cost of counting the rows of each block of each file.

    The rows of a block are consecutive in their task: monotonically_increasing_id minus the block's lowest id is the
    position in the block, the rows of the file's earlier blocks come on top. Both scans stand in one plan and are cut
    into the same tasks, as neither filters.
    """
    block = [F.col("_metadata.file_path").alias("_path"), F.col("_metadata.file_block_start").alias("_start")]
    scan_id = F.monotonically_increasing_id().alias("_id")
    before = Window.partitionBy("_path").orderBy("_start").rowsBetween(Window.unboundedPreceding, -1)
    blocks = (
        df.select(*block, scan_id)
        .groupBy("_path", "_start")
        .agg(F.min("_id").alias("_first"), F.count("*").alias("_rows"))
    )
    offsets = blocks.select(
        *("_path", "_start"),
        _file(F.col("_path")).alias("file"),
        (F.coalesce(F.sum("_rows").over(before), F.lit(0)) - F.col("_first") + 1).alias("_offset"),
    )
    rows = df.select(*(c.alias(name) for name, c in columns.items()), *block, scan_id)
    joined = rows.join(F.broadcast(offsets), on=["_path", "_start"], how="inner")  # offsets: one row per block
    return joined.select("file", (F.col("_id") + F.col("_offset")).alias("line"), *columns)


def _texts(spark: SparkSession, source: Source, where: str) -> DataFrame:
    """One row per .md or .txt file; `title` is its first Markdown heading."""
    if source.fields or source.kind != "document":
        raise ConfigError(f"{where}: a text file is one document without fields; remove `fields` and `kind`")
    heading = F.regexp_extract("value", r"(?m)^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t\r]*$", 1)
    known = {
        "doc_id": _file(F.col("_metadata.file_name")),
        "title": F.nullif(heading, F.lit("")),
        "text": F.col("value"),
    }
    return _load(spark, source, where).select(
        _file(F.col("_metadata.file_path")).alias("file"),
        F.lit(1).cast("long").alias("line"),
        F.lit(None).cast("string").alias("raw"),
        *(known.get(c, _missing(c)).alias(c) for c in _RECORD_FIELDS),
    )


def _mapped(spark: SparkSession, source: Source, columns: list[str], required: str, where: str) -> DataFrame:
    """file, line, raw and `columns`: strings, choices a list of strings, null where `source.fields` maps nothing."""
    _check_mapping(source, columns, required, where)
    df = _load(spark, source, where)
    if source.format == "jsonl":
        _check_json_fields(df, source, where)
        lines = _numbered(df, {"value": F.col("value")}).where(F.col("value").rlike(r"\S"))
        rows = lines.select("file", "line", "value", _record(source).alias("record")).select(
            *("file", "line", "record"),
            F.when(F.col("record").isNull(), F.left("value", F.lit(_SHOWN))).alias("raw"),
        )
        values = {c: _value(f"record.{field}", c) for c, field in source.fields.items()}
    else:
        _check_present(_names(_tree(df.schema)), source, where)
        rows = _numbered(df, {c: _value(field, c) for c, field in source.fields.items()})
        rows = rows.select("*", F.lit(None).cast("string").alias("raw"))
        values = {c: F.col(c) for c in source.fields}
    return rows.select("file", "line", "raw", *(values.get(c, _missing(c)).alias(c) for c in columns))


def _check_mapping(source: Source, known: list[str], required: str, where: str) -> None:
    if unknown := sorted(set(source.fields) - set(known)):
        raise ConfigError(f"{where}.fields: unknown column {', '.join(unknown)}; known: {', '.join(known)}")
    if required not in source.fields:
        raise ConfigError(f"{where}.fields: {required} is not mapped; add `{required}: NAME OF THE FIELD IN THE INPUT`")
    inner = [f for f in source.fields.values() if any(o.startswith(f"{f}.") for o in source.fields.values())]
    if source.format == "jsonl" and inner:
        raise ConfigError(f"{where}.fields: {inner[0]} is mapped both as a value and as an object; map one of them")


def _check_json_fields(lines: DataFrame, source: Source, where: str) -> None:
    """Compare the mapping with the first valid line, and only where that lacks a field with all lines."""
    first = lines.select("value").where(_record(source).isNotNull()).first()
    if first is None:
        return  # every line is malformed and will say so
    present = _names(json.loads(first.value, strict=False))
    if absent := sorted(set(source.fields.values()) - present):
        found = lines.agg(*(F.max(_has(field)).alias(str(i)) for i, field in enumerate(absent))).first()
        assert found is not None
        present |= {field for field, seen in zip(absent, found, strict=True) if seen}
    _check_present(present, source, where)


def _check_present(present: set[str], source: Source, where: str) -> None:
    for ours, field in source.fields.items():
        if field not in present:
            raise ConfigError(
                f"{where}.fields.{ours}: no record of {source.path} has the field `{field}`\n"
                f"  fields present: {', '.join(sorted(present))}\n"
                f"  fix: map {ours} to one of them, or remove it"
            )


def _names(tree: dict[str, Any]) -> set[str]:
    """Dotted names of all keys of nested dicts."""
    inner = {f"{name}.{n}" for name, value in tree.items() if isinstance(value, dict) for n in _names(value)}
    return set(tree) | inner


def _tree(schema: T.StructType) -> dict[str, Any]:
    return {f.name: _tree(f.dataType) if isinstance(f.dataType, T.StructType) else None for f in schema}


def _has(field: str) -> Column:
    """Whether a JSON line has a field, be its value null."""
    *parents, leaf = field.split(".")
    parent = F.get_json_object("value", "$" + "".join(f"['{p}']" for p in parents)) if parents else F.col("value")
    return F.coalesce(F.array_contains(F.json_object_keys(parent), leaf), F.lit(False))


def _record(source: Source) -> Column:
    """The mapped fields of a JSON line as a nested struct; null when the line is not one object of that shape."""
    tree: dict[str, Any] = {}
    for ours, field in source.fields.items():
        *parents, leaf = field.split(".")
        reduce(lambda node, p: node.setdefault(p, {}), parents, tree)[leaf] = ours

    def struct(node: dict[str, Any]) -> T.StructType:
        kinds = {n: struct(v) if isinstance(v, dict) else _kind(v) for n, v in node.items()}
        return T.StructType([T.StructField(n, kind) for n, kind in kinds.items()])

    schema = T.StructType([T.StructField("record", struct(tree)), T.StructField("malformed", T.StringType())])
    # Wrapped in an object, text after the line's own object is malformed too; Spark would drop it unsaid.
    line = F.concat(F.lit('{"record":'), "value", F.lit("}"))
    parsed = F.from_json(line, schema, {"columnNameOfCorruptRecord": "malformed", "allowSingleQuotes": "false"})
    return F.when(parsed["malformed"].isNull(), parsed["record"])


def _kind(column: str) -> T.DataType:
    return T.ArrayType(T.StringType()) if column == "choices" else T.StringType()


def _value(field: str, column: str) -> Column:
    root, *inner = field.split(".")
    value = reduce(lambda c, name: c.getField(name), inner, F.col(f"`{root}`")).cast(_kind(column))
    return F.transform(value, lambda option: F.coalesce(option, F.lit(""))) if column == "choices" else value


def _missing(column: str) -> Column:
    return F.lit(None).cast(STRINGS if column == "choices" else "string")
