"""The tables of a warehouse in Delta; every read and write is held against the table's contract (boostqa/schemas).

A warehouse is a folder or URI (one Delta table per sub-folder) or a schema of a catalog (boostqa/config/location.py).
"""

import json
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyarrow import fs
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from boostqa.config.location import Location
from boostqa.errors import ConfigError, ContractError, first_line, told
from boostqa.schemas import ROUND, TABLES, Table
from boostqa.storage import delta_log
from boostqa.storage.catalog import drop, make_schema, place_of, table_exists
from boostqa.storage.commits import CONCURRENT, BeingMade, until_alone
from boostqa.storage.contract import check, lacking, violations
from boostqa.vocabulary import ONLY_ROUND
from udfs.files import file_system

# What an export is made of, and for how long its earlier versions are there to make it again; without, VACUUM takes a week.
EXPORTED_FROM = ("seed", "annotation", "corpus", "clean", "budget", "verdict", "quarantine", "withdrawal")
KEPT_FOR = {f"delta.{what}RetentionDuration": "interval 365 days" for what in ("log", "deletedFile")}
UPKEEP = ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD COLUMNS", "UPGRADE PROTOCOL", "REORG")


@dataclass(frozen=True)
class Written:
    """What a write left: Delta version, rows, and a hash of the content that ignores row order and file layout."""

    table: str
    version: int
    rows: int
    hash: str


def _of_earlier_release(column: T.StructField) -> Column:
    """What a column that they lack says of the rows of an earlier release: nothing, but that there was one round."""
    return F.lit(ONLY_ROUND if column is ROUND else None).cast(column.dataType)


class Warehouse:
    """The Delta tables of one warehouse; `ledger` places the table `completion` elsewhere, to share it with others."""

    def __init__(self, spark: SparkSession, location: str, ledger: str | None = None) -> None:
        self.spark = spark
        self.location = location.rstrip("/")
        self._place = place_of(location)
        self._ledger = place_of(ledger) if ledger else self._place.table("completion")

    def place(self, name: str) -> Location:
        """Where a table lies."""
        return self._ledger if name == "completion" else self._place.table(name)

    def path(self, name: str) -> str:
        """The folder of a table, or its `catalog.schema.table`."""
        return str(self.place(name))

    def exists(self, name: str) -> bool:
        """Whether the table was ever written."""
        place = self.place(name)
        return table_exists(self.spark, place) if place.names else DeltaTable.isDeltaTable(self.spark, place.path)

    def version(self, name: str) -> int:
        """Latest Delta version of an existing table."""
        if self.place(name).names:
            history = self.delta(name).history(1).select("version").first()
            assert history is not None
            return int(history["version"])
        return next(iter(delta_log.commits(self.path(name))))

    def delta(self, name: str) -> DeltaTable:
        """A table as Delta's own commands take it."""
        place = self.place(name)
        return DeltaTable.forName(self.spark, place.sql) if place.names else DeltaTable.forPath(self.spark, place.path)

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """A table (at a Delta version), its contract checked.

        Raises ContractError when the table does not exist or does not hold its contract.
        """
        if not self.exists(name):
            raise ContractError(
                f"table {name} not found in warehouse {self.location}: run the stage that writes it first"
            )
        reader = self.spark.read if version is None else self.spark.read.option("versionAsOf", version)
        place = self.place(name)
        df = reader.table(place.sql) if place.names else reader.format("delta").load(place.path)
        df = df.withColumns({c.name: _of_earlier_release(c) for c in lacking(df, TABLES[name])})
        wrong = violations(df, TABLES[name])
        if wrong and TABLES[name].made_anew:
            return self.spark.createDataFrame([], TABLES[name].stored)
        if wrong:
            raise ContractError(
                f"table {self.path(name)} does not hold its contract (boostqa/schemas):\n  "
                + "\n  ".join(wrong)
                + "\n  it was written by another release: write it again with its stage, or choose another warehouse"
            )
        return df

    def rows(self, name: str) -> DataFrame:
        """A table as `read` gives it; no rows where it was not written yet."""
        return self.read(name) if self.exists(name) else self.spark.createDataFrame([], TABLES[name].stored)

    def write(self, name: str, df: DataFrame, where: str | None = None, metadata: dict | None = None) -> Written:
        """Replace a table's rows (only those matching the SQL predicate `where`, on columns of its key), then verify key and
        count; returns what is said of the rows written.

        Raises ContractError and restores the previous version when a column, a null or a key breaks the contract.
        """
        table = TABLES[name]
        check(df, table, "write")
        self.create(name, whole=where is None)
        commit = uuid.uuid4().hex
        writer = df.select(*table.stored.names).write.format("delta").mode("overwrite")
        writer = writer.option("userMetadata", json.dumps((metadata or {}) | {"commit": commit}))
        if where or self.place(name).names:  # without, a catalog's table would be made anew, its properties lost
            writer = writer.option("replaceWhere", where or "true")
        self._save(writer, table)
        written, keys = self.measure(name, where, self._version_of(name, commit))
        if keys != written.rows:
            self._put_back(table, where, written.version - 1)
            raise ContractError(
                f"table {name}: {written.rows - keys} rows repeat a key ({', '.join(table.key)}); "
                f"version {written.version - 1} was restored"
            )
        return written

    def append(self, name: str, df: DataFrame, metadata: dict | None = None) -> None:
        """Append rows; the caller vouches for the key."""
        table = TABLES[name]
        check(df, table, "append")
        self.create(name)
        writer = df.select(*table.stored.names).write.format("delta").mode("append")
        self._save(writer.option("userMetadata", json.dumps(metadata or {})), table)

    def create(self, name: str, whole: bool = False) -> None:
        """Make the table if it does not exist; anew where its stage writes it `whole` and an earlier release gave it other columns."""
        until_alone(name, self.location, lambda: self._create(TABLES[name], whole))

    def insert(self, name: str, df: DataFrame, metadata: dict | None = None, better: str | None = None) -> None:
        """Add the rows whose key the table does not hold; safe beside other writers that do the same.

        Where `better`, SQL on `new` and `known`, holds for a row with a known key, it takes the known one's place.
        """
        table = TABLES[name]
        check(df, table, "insert")
        same = " AND ".join(f"known.{c} = new.{c}" for c in table.stored_key)

        def merge() -> None:
            rows = df.select(*table.stored.names).alias("new")
            builder = self.delta(name).alias("known").merge(rows, same)
            if better is not None:
                builder = builder.whenMatchedUpdateAll(better)
            builder.whenNotMatchedInsertAll().execute()

        self.spark.conf.set("spark.databricks.delta.commitInfo.userMetadata", json.dumps(metadata or {}))
        try:
            until_alone(name, self.location, merge)
        finally:
            self.spark.conf.unset("spark.databricks.delta.commitInfo.userMetadata")

    def delete(self, name: str, where: str) -> None:
        """Delete the rows matching a SQL predicate; safe beside other writers."""
        until_alone(name, self.location, lambda: self.delta(name).delete(where))

    def properties(self, name: str) -> dict[str, str]:
        """The properties of a table."""
        found = self.delta(name).detail().select("properties").first()
        return dict(found["properties"]) if found else {}

    def set_property(self, name: str, key: str, value: str) -> None:
        """Set one of the properties of a table."""
        statement = f"ALTER TABLE {self.place(name).sql} SET TBLPROPERTIES ('{key}' = '{value}')"
        until_alone(name, self.location, lambda: self.spark.sql(statement))

    def commits_since(self, name: str, version: int) -> list[dict[str, Any]]:
        """What writers said of themselves in each change of rows after a Delta version; {} of one that said nothing, and
        of one that is no longer on record."""
        newer = self.version(name) - version
        if not newer:
            return []
        rows = self.delta(name).history(newer).select("version", "operation", "userMetadata").collect()
        known = {r["version"]: r for r in rows if r["version"] > version}
        told = [json.loads(r["userMetadata"] or "{}") for r in known.values() if r["operation"] not in UPKEEP]
        return told + [{}] * (newer - len(known))

    def _version_of(self, name: str, commit: str) -> int:
        """The version that a write made, which need not be the latest; no rows in place of none make no version."""
        if self.place(name).names:
            row = self.delta(name).history(delta_log.LATEST).where(F.contains("userMetadata", F.lit(commit))).first()
            found = row and int(row["version"])
        else:
            found = delta_log.version_that_says(self.path(name), commit)
        return self.version(name) if found is None else found

    def measure(self, name: str, where: str | None = None, version: int | None = None) -> tuple[Written, int]:
        """(version, rows and content hash of a table, or of its rows matching `where`; number of distinct keys), in one
        job. The hashes of parts add up to that of the whole (modulo 2^64)."""
        table, version = TABLES[name], self.version(name) if version is None else version
        content = F.xxhash64(F.to_json(F.struct(*table.stable_columns), {"ignoreNullFields": "false"}))
        keyed = (
            self.read(name, version)
            .where(where or "true")
            .groupBy(*table.stored_key)
            .agg(F.count("*").alias("rows"), F.sum(content.cast("decimal(38,0)")).alias("content"))
        )
        [(rows, keys, content_sum)] = keyed.agg(F.sum("rows"), F.count("*"), F.sum("content")).collect()
        digest = format(int(content_sum or 0) & (2**64 - 1), "016x")
        return Written(name, version, int(rows or 0), digest), int(keys)

    def _create(self, table: Table, whole: bool) -> None:
        with suppress(Py4JJavaError):  # a first commit without a byte
            if self.exists(table.name):
                if not (whole and table.made_anew and violations(self.delta(table.name).toDF(), table)):
                    return self._widen(table)
                drop(self.spark, self.place(table.name))
        self._clear_half_made(table.name)
        place, grain = self.place(table.name), table.grain.replace("'", "\\'")
        statement = f"CREATE TABLE IF NOT EXISTS {place.sql} ({table.stored.toDDL()}) USING delta COMMENT '{grain}'"
        if table.name in EXPORTED_FROM:
            kept = ", ".join(f"'{name}' = '{value}'" for name, value in KEPT_FOR.items())
            statement += f" TBLPROPERTIES ({kept})"
        try:
            make_schema(self.spark, place)
            self.spark.sql(statement)
        except CONCURRENT:
            raise
        except (PySparkException, Py4JJavaError) as error:
            if self._is_being_made(table.name, str(error)):
                raise BeingMade(first_line(error)) from error
            raise ConfigError(f"cannot create table {table.name} in {self.location}: {told(error)}") from error

    def _is_being_made(self, name: str, error: str) -> bool:
        """Whether a table could not be made only because another writer does: its folder was empty a moment ago, or was
        empty and cleared by that one, as no catalog's is. Raises ConfigError where the log's folder cannot be made."""
        if self.place(name).names or "CANNOT_CREATE_LOG_PATH" not in error:
            return bool(re.search(r"NON_EMPTY_LOCATION|FileNotFoundException|NoSuchFileException", error))
        files, folder = file_system(self.path(name))
        try:
            files.create_dir(f"{folder}/_delta_log")
        except OSError as why:
            raise ConfigError(f"cannot create table {name} in {self.location}: {told(why)}") from why
        return True

    def _clear_half_made(self, name: str) -> None:
        """Remove a folder without a byte, as a full disk leaves it: Delta neither reads nor makes a table there."""
        place = self.place(name)
        if place.names:
            return
        files, folder = file_system(place.path)
        found = files.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))
        if any(info.size for info in found if info.is_file):
            if self.exists(name):  # another writer has made it meanwhile
                return
            raise ConfigError(f"cannot create table {name}: {place} holds no readable Delta table: move it away")
        if found:
            files.delete_dir(folder)

    def _widen(self, table: Table) -> None:
        """Add the columns that a table of an earlier release lacks; its rows have null there, and the only round."""
        if more := lacking(self.delta(table.name).toDF(), table):
            added = ", ".join(f"`{c.name}` {c.dataType.simpleString()} COMMENT '{c.metadata['comment']}'" for c in more)
            self.spark.sql(f"ALTER TABLE {self.place(table.name).sql} ADD COLUMNS ({added})")
            if ROUND in more:
                self.delta(table.name).update(set={ROUND.name: F.lit(ONLY_ROUND)})

    def _save(self, writer: DataFrameWriter, table: Table) -> None:
        try:
            place = self.place(table.name)
            save = partial(writer.saveAsTable, place.sql) if place.names else partial(writer.save, place.path)
            until_alone(table.name, self.location, save)
        except (PySparkException, Py4JJavaError) as error:
            text = str(error)
            if found := re.search(r"NOT NULL constraint violated for column: (\w+)", text):
                raise ContractError(
                    f"table {table.name}: required column {found[1]} is null in a row to write"
                ) from error
            if "No space left" in text or "Permission denied" in text or "Read-only file system" in text:
                raise ConfigError(f"cannot write table {table.name} to {self.location}: {told(error)}") from error
            raise

    def _put_back(self, table: Table, where: str | None, version: int) -> None:
        """Make a table, or its rows matching `where`, what they were at a version; others' rows stay as they are now."""
        if where is None:
            return until_alone(table.name, self.location, lambda: self.delta(table.name).restoreToVersion(version))
        rows = self.read(table.name, version).where(where).select(*table.stored.names)
        self._save(rows.write.format("delta").mode("overwrite").option("replaceWhere", where), table)
