"""Rows against the contract of their table (boostqa/schemas)."""

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from boostqa.errors import ContractError
from boostqa.schemas import ROUND, Table


def lacking(df: DataFrame, table: Table) -> list[T.StructField]:
    """Columns of a contract that rows of an earlier release do not have: those that may be null, and `round`."""
    return [c for c in table.stored if c.name not in df.columns and (c.nullable or c is ROUND)]


def violations(df: DataFrame, table: Table) -> list[str]:
    """Differences between a DataFrame's columns and a contract; nullability is left to Delta's constraints."""
    got = {f.name: f.dataType.simpleString() for f in df.schema}
    want = {f.name: f.dataType.simpleString() for f in table.stored}
    return (
        [f"missing column {name} ({kind})" for name, kind in want.items() if name not in got]
        + [f"unknown column {name}" for name in got if name not in want]
        + [f"column {n}: got {got[n]}, expected {want[n]}" for n in want if n in got and got[n] != want[n]]
    )


def check(df: DataFrame, table: Table, verb: str) -> None:
    """Raise ContractError when rows to `verb` (write | append | insert) have other columns than the contract."""
    if wrong := violations(df, table):
        raise ContractError(f"table {table.name}: the rows to {verb} break the contract:\n  " + "\n  ".join(wrong))
