"""Rows of a stage to look at, a few chosen by hash, and of rejected ones what they said: `boostqa show`."""

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.console import Console
from rich.panel import Panel
from rich.table import Table as Grid
from rich.text import Text

from boostqa.errors import ConfigError
from boostqa.report.side_by_side import SHOWN_CHARACTERS, draft_text, rows_with, writing
from boostqa.report.visible import cut
from boostqa.schemas import TABLES
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import STAGES, ItemTable

Row = dict[str, Any]
# The table in which a stage leaves what went through it.
WRITES = dict(
    zip(STAGES, ("seed", "annotation", "probe", "plan", "draft", "refined", "clean", "verdict", "mix"), strict=True)
)
_CELL = ("discipline", "difficulty")


def collect(
    warehouse: Warehouse, stage: str | None, table: str | None, rule: str | None, cell: dict[str, str], count: int
) -> dict[str, Any]:
    """{"table", "rows": how many fit, "shown": the first `count` of them by hash of their key}.

    What `stage` let through, or with `rule` what it rejected by that rule ("all": by any), each with `said`: the draft, or the
    reply as it came; or the rows of any `table`. `cell` may hold a discipline and a difficulty. Raises ConfigError for names
    that there are not, and for a table without such columns.
    """
    name = table or ("reject" if rule is not None else WRITES.get(stage or ""))
    if name not in TABLES or (stage is not None and stage not in STAGES):
        wanted = f"table {table!r}" if table else f"stage {stage!r}"
        raise ConfigError(
            f"{wanted}: there is none; a stage is one of {', '.join(STAGES)}, a table one of {', '.join(sorted(TABLES))}"
        )
    if not warehouse.exists(name):
        raise ConfigError(f"no table {name} in warehouse {warehouse.location}: run the stage that writes it first")
    rows = _of_cell(warehouse, name, warehouse.read(name), cell)
    if name == "reject" and stage is not None:
        rows = rows.where(F.col("stage") == stage)
    if rule not in (None, "all"):
        rows = _with(rows, name, "rule", str(rule))
    key = TABLES[name].stored_key
    drawn = rows.orderBy(F.xxhash64(*key, F.lit("show")), *key).limit(count).collect()
    shown = [r.asDict(recursive=True) for r in drawn]
    return {"table": name, "rows": rows.count(), "shown": said(warehouse, shown) if name == "reject" else shown}


def _with(rows: DataFrame, table: str, column: str, value: str) -> DataFrame:
    if column not in rows.columns:
        have = ", ".join(t.name for t in TABLES.values() if column in t.schema.names)
        raise ConfigError(f"--{column}: table {table} has no such column; it is one of {have}")
    return rows.where(F.col(column) == value)


def _of_cell(warehouse: Warehouse, table: str, rows: DataFrame, cell: dict[str, str]) -> DataFrame:
    """The rows of a cell; of seeds by their label, of rejects by that of the draft."""
    if not cell or table not in ("seed", "reject"):
        for column, value in cell.items():
            rows = _with(rows, table, column, value)
        return rows
    if table == "seed":
        labels = warehouse.rows("annotation").where(F.col("item_table") == ItemTable.SEED)
        labels = labels.withColumnRenamed("item_id", "seed_id")
    else:
        labels = warehouse.rows("draft").withColumnRenamed("draft_id", "key")
    for column, value in cell.items():
        labels = labels.where(F.col(column) == value)
    return rows.join(labels, "seed_id" if table == "seed" else "key", "left_semi")


def said(warehouse: Warehouse, rejects: list[Row]) -> list[Row]:
    """REJECT rows with `said`: the draft they are about, else the model's reply, else null."""
    drafts = {r["draft_id"]: r for r in rows_with(warehouse, "draft", "draft_id", (r["key"] for r in rejects))}
    ids = {i for r in rejects if r["key"] not in drafts for i in r["request_ids"] or []}
    calls = {r["request_id"]: r for r in rows_with(warehouse, "completion", "request_id", ids)}

    def of(row: Row) -> str | None:
        if row["key"] in drafts:
            return draft_text(drafts[row["key"]])
        written = writing(row["request_ids"], calls)
        return max(written, key=lambda c: c["sample_index"])["text"] if written else None

    return [row | {"said": of(row)} for row in rejects]


def _lines(row: Row, key: Iterable[str]) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    for name, value in row.items():
        if value not in (None, [], {}, "") and name not in (*key, "request_ids"):
            value = "\n".join(map(str, value)) if isinstance(value, list) else value
            grid.add_row(Text(name, style="bold"), Text(cut(str(value), SHOWN_CHARACTERS)))
    return grid


def show(facts: dict[str, Any], console: Console) -> None:
    """Print a panel for each row: its key, then what its columns hold."""
    key = TABLES[facts["table"]].key
    for row in facts["shown"]:
        title = Text(cut(" ".join(f"{name}={row[name]}" for name in key), 120))
        console.print(Panel(_lines(row, key), title=title, title_align="left"))
    console.print(f"{len(facts['shown'])} of {facts['rows']} rows of {facts['table']}, by hash", highlight=False)
