"""Rows that hold a table's contract, made from what a test wants to say about them."""

from datetime import datetime

from boostqa.schemas import Table

SHA = "a" * 64
# What a column holds where a test says nothing; a column that may be null holds null.
BY_NAME = {
    "kind": "document", "lang": "en", "licence": "MIT", "item_table": "seed", "discipline": "0541", "difficulty": "H4",
    "grade": "H4", "method": "letter", "strategy": "multi_grade", "format": "short_answer", "stage": "refine",
    "finish_reason": "stop", "status": "agreed", "field": "answer", "question": "Why is the sky blue?",
}  # fmt: skip
BY_TYPE = {
    "string": SHA, "double": 0.5, "array<string>": [], "timestamp": datetime(2026, 1, 1), "bigint": 0, "int": 0,
    "boolean": True,
}  # fmt: skip


def row(contract: Table, /, **changes) -> dict:
    """One row as a dict in the order of the columns."""
    unknown = set(changes) - set(contract.schema.names)
    assert not unknown, f"{contract.name} has no {unknown}"

    def default(column):
        return None if column.nullable else BY_NAME.get(column.name, BY_TYPE.get(column.dataType.simpleString(), {}))

    return {column.name: default(column) for column in contract.columns} | changes


def frame(spark, table: Table, *changes: dict):
    """A DataFrame of the table with a row for each dict of changes."""
    return spark.createDataFrame([tuple(row(table, **c).values()) for c in changes], table.schema)


def ledger(spark, rows):
    """(request_id, text, finish_reason, error) as the ledger's columns that parsing reads."""
    return spark.createDataFrame(rows, "request_id string, text string, finish_reason string, error string")
