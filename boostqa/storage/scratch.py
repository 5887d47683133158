"""A warehouse for trials: some tables are read, the ledger is shared, and all else that is written stays in memory."""

from collections.abc import Collection

from pyspark.sql import DataFrame, SparkSession

from boostqa.schemas import TABLES
from boostqa.storage.contract import check
from boostqa.storage.warehouse import Warehouse, Written

LEDGER = ("completion", "conflict")


class Scratch(Warehouse):
    """The tables `shown` of a warehouse can be read, its ledger also be written; any other table is there once it was
    written here, lives in memory, and hides the one of the warehouse. Keys and nulls are not checked.

    Merging and deleting are the ledger's alone.
    """

    def __init__(self, spark: SparkSession, location: str, ledger: str | None, shown: Collection[str]) -> None:
        super().__init__(spark, location, ledger)
        self.readable = {*shown, *LEDGER}
        self.written: dict[str, DataFrame] = {}

    def exists(self, name: str) -> bool:
        """Whether the table was written here or can be read."""
        return name in self.written or (name in self.readable and super().exists(name))

    def version(self, name: str) -> int:
        """Latest Delta version; 0 of what was written here."""
        return 0 if name in self.written else super().version(name)

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """A table; `version` is that of one that was not written here."""
        return self.written[name] if name in self.written else super().read(name, version)

    def write(self, name: str, df: DataFrame, where: str | None = None, metadata: dict | None = None) -> Written:
        """Replace a table's rows (only those matching the SQL predicate `where`); the rows are computed here, once."""
        check(df, TABLES[name], "write")
        rows = df.select(*TABLES[name].stored.names).localCheckpoint()
        rest = self.read(name).where(f"not ({where})") if where and self.exists(name) else None
        self.written[name] = rows if rest is None else rest.unionByName(rows)
        return Written(name, 0, rows.count(), "")

    def measure(self, name: str, where: str | None = None, version: int | None = None) -> tuple[Written, int]:
        """As of a warehouse; of a table that was written here its rows, which count as keys, and no hash."""
        if name not in self.written:
            return super().measure(name, where, version)
        rows = self.written[name].where(where or "true").count()
        return Written(name, 0, rows, ""), rows

    def create(self, name: str, whole: bool = False) -> None:
        """Make the table if it does not exist, one of the ledger's in the warehouse, others here."""
        if name in LEDGER:
            super().create(name)
        elif not self.exists(name):
            self.written[name] = self.spark.createDataFrame([], TABLES[name].stored)

    def append(self, name: str, df: DataFrame, metadata: dict | None = None) -> None:
        """Append rows, to the ledger's tables in the warehouse, to others here."""
        if name in LEDGER:
            super().append(name, df, metadata)
        else:
            self.write(name, df, "false")
