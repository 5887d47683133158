"""Tables of a catalog, Parquet files whose schemas differ, and typed values as the text that JSON Lines would hold."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from boostqa.config.location import location
from boostqa.errors import ConfigError
from udfs.files import pattern_of

_FOOTERS_AT_ONCE = 8
_FROM_ONE, _BELOW_ONE = "decimal(38,18)", "decimal(38,37)"  # they hold the 17 digits of a double


def parquet_parts(spark: SparkSession, path: str) -> list[DataFrame]:
    """The files of `path`, one DataFrame for all that have one schema; a column that only some files have is null in
    the others.

    Where Spark cannot merge the schemas (text in one file, numbers in another) there is a DataFrame for each schema.
    """
    # pandas writes timestamps in nanoseconds, which Spark cannot hold: as numbers they do no harm in a column beside ours.
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
    try:
        return [spark.read.option("mergeSchema", True).parquet(path)]
    except (PySparkException, Py4JError) as error:
        if "CANNOT_MERGE_SCHEMAS" not in str(error):
            raise
    names = [pattern_of(unquote(f)) for f in spark.read.parquet(path).inputFiles()]
    reader = spark.read if re.search(r"[\[\]{}*?]", path) else spark.read.option("basePath", path)
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        schemas = pool.map(lambda name: spark.read.parquet(name).schema.json(), names)
    by_schema: dict[str, list[str]] = {}
    for schema, name in zip(schemas, names, strict=True):
        by_schema.setdefault(schema, []).append(name)
    return [reader.parquet(*group) for group in by_schema.values()]


def catalog_table(spark: SparkSession, name: str, where: str) -> DataFrame:
    """A table of a catalog, whatever its format. Raises ConfigError for a view: its rows have no file and no place in it."""
    df = spark.read.table(location(name).sql)
    try:
        df.select("_metadata.file_path")
    except PySparkException:
        raise ConfigError(
            f"{where}.path: {name} is a view, whose rows have no numbers by which rejects could name them: write it as a "
            "table (CREATE TABLE ... AS SELECT), and name that"
        ) from None
    return df


def as_text(value: Column, kind: T.DataType) -> Column:
    """A value as text: digits of decimals as they are, no exponents where they can be avoided, NaN and infinity null,
    lists and objects as JSON."""
    if isinstance(kind, T.ArrayType | T.StructType | T.MapType):
        return F.to_json(_texts(value, kind), {"ignoreNullFields": "false"})
    if isinstance(kind, T.NullType):
        return F.lit(None).cast("string")
    if not isinstance(kind, T.DoubleType | T.FloatType):
        return value.cast("string")
    size, text = F.abs(value), value.cast("string")
    fixed = F.when((size >= 1) & (size < 1e20), text.try_cast(_FROM_ONE).cast("string")).when(
        (size < 1) & (size >= 1e-20), text.try_cast(_BELOW_ONE).cast("string")
    )
    plain = F.when(text.contains("E"), F.regexp_replace(fixed, r"(\.\d+?)0+$", "$1"))
    return F.when(~F.isnan(value) & (size != float("inf")), F.coalesce(plain, text))


def _texts(value: Column, kind: T.DataType) -> Column:
    """A nested value with text at its leaves."""
    if isinstance(kind, T.ArrayType):
        return F.transform(value, lambda element: _texts(element, kind.elementType))
    if isinstance(kind, T.MapType):
        return F.transform_values(value, lambda _, inner: _texts(inner, kind.valueType))
    if isinstance(kind, T.StructType):
        fields = [_texts(value.getField(f.name), f.dataType).alias(f.name) for f in kind]
        return F.when(value.isNotNull(), F.struct(*fields))
    return as_text(value, kind)
