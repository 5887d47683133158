"""What tables in a catalog need beside those in folders: their schema, and a catalog that outlives the session."""

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from boostqa.config.location import Location, location
from boostqa.errors import ConfigError, told
from udfs.files import file_system

_DELTA = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
_NO_CATALOG = ("CATALOG_NOT_FOUND", "REQUIRES_SINGLE_PART_NAMESPACE")  # Spark takes an unknown first name for a schema


def place_of(text: str) -> Location:
    """What a warehouse or ledger means. Raises ConfigError for what is none."""
    try:
        return location(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _refused(place: Location, error: PySparkException, doing: str) -> ConfigError:
    catalog = place.names[0]
    if any(name in str(error) for name in _NO_CATALOG):
        return ConfigError(
            f"{place}: this session has no catalog {catalog}; set spark.sql.catalog.{catalog} in `spark.conf`, use "
            f"spark_catalog, or write ./{place} for a folder"
        )
    return ConfigError(f"{place}: cannot {doing}: {told(error)}")


def table_exists(spark: SparkSession, place: Location) -> bool:
    """Whether a table is in its catalog. Raises ConfigError where the session has no such catalog or may not look."""
    try:
        return spark.catalog.tableExists(place.sql)
    except PySparkException as error:
        raise _refused(place, error, "look it up") from error


def make_schema(spark: SparkSession, table: Location) -> None:
    """Make the schema of a table in a catalog where it is missing; who may not make one can be given it ready made.

    Raises ConfigError with what the catalog says.
    """
    if not table.names:
        return
    schema = Location(names=table.names[:-1])
    try:
        if not spark.catalog.databaseExists(schema.sql):
            spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema.sql}")
    except PySparkException as error:
        raise _refused(schema, error, "make the schema (let someone make it who may)") from error


def check_lasting(spark: SparkSession, *texts: str | None) -> None:
    """Raise ConfigError for a warehouse or ledger in a catalog that is kept in the session's memory: its tables would be
    forgotten, though their files stay."""
    for place in (place_of(text) for text in texts if text):
        if place.names and place.names[0] == "spark_catalog" and _in_memory(spark):
            raise ConfigError(
                f"{place}: the catalog of this session is kept in memory and forgets its tables at the end; give it a "
                "metastore in `spark.conf`, such as spark.sql.catalogImplementation: hive with "
                "spark.hadoop.hive.metastore.uris, or use a folder"
            )


def _in_memory(spark: SparkSession) -> bool:
    own = spark.conf.get("spark.sql.catalog.spark_catalog", _DELTA) == _DELTA  # another one keeps its tables itself
    return own and spark.conf.get("spark.sql.catalogImplementation") == "in-memory"


def drop(spark: SparkSession, place: Location) -> None:
    """Remove a table with its versions."""
    if place.names:
        spark.sql(f"DROP TABLE {place.sql}")
        return
    files, folder = file_system(place.path)
    files.delete_dir(folder)
    assert spark._jvm is not None
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # it would take the old log for the new one
