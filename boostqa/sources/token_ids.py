"""Corpora that are tokenized already -> records with token ids in place of a text."""

from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from boostqa.config import Source
from boostqa.errors import ConfigError
from boostqa.sources.fields import check_json_fields, field_type, field_value, readable_line
from boostqa.sources.line_numbers import numbered
from boostqa.sources.read import limited, load_parts

_IDS = "array<bigint>"
_SHOWN = 300


def read_token_ids(spark: SparkSession, source: Source, where: str) -> DataFrame:
    """Documents of a source that maps `token_ids` -> source, file, line, raw (the line whose ids cannot be read, else null),
    token_ids, lang, licence, attribution; the last three are those of the source.

    Raises ConfigError where nothing else may be mapped, a path cannot be read, or the field is no list of whole numbers.
    """
    if others := sorted(source.fields.keys() - {"token_ids"}):
        raise ConfigError(f"{where}.fields: beside token_ids nothing is read, got {', '.join(others)}: remove it")
    if source.format == "text":
        raise ConfigError(f"{where}.format: a text file has no token ids: use jsonl, parquet, delta or table")
    field = source.fields["token_ids"]
    scans = load_parts(spark, source, where)
    if source.format == "jsonl":
        check_json_fields(scans[0].select(readable_line(F.col("value")).alias("value")), source, where)
    parts = [numbered(df, _ids(df, field, source, where)) for df in scans]
    own = {name: F.lit(getattr(source, name)).cast("string").alias(name) for name in ("lang", "licence", "attribution")}
    rows = reduce(DataFrame.unionByName, parts).where("raw is not null or token_ids is not null")  # and no blank line
    rows = limited(rows.withColumn("doc_id", F.col("line").cast("string")), "doc_id", source.limit)
    return rows.select(F.lit(source.name).alias("source"), "file", "line", "raw", "token_ids", *own.values())


def _ids(df: DataFrame, field: str, source: Source, where: str) -> dict[str, Column]:
    if source.format == "jsonl":
        ids = F.from_json(F.get_json_object("value", f"$.{field}"), _IDS)
        written = F.when(F.col("value").rlike(r"\S"), F.left("value", F.lit(_SHOWN)))
        return {"raw": F.when(ids.isNull(), written), "token_ids": ids}
    kind = field_type(df.schema, field)
    if not (isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.IntegralType)):
        told = "is missing" if kind is None else f"is {kind.simpleString()}"
        raise ConfigError(f"{where}.fields: token_ids: {field} {told}, and should be a list of whole numbers")
    ids = field_value(df.schema, field).cast(_IDS)
    return {"raw": F.when(ids.isNull(), F.lit("null")), "token_ids": ids}
