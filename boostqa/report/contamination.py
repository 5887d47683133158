"""What was found of benchmarks: hits by benchmark, source and generator, and pairs of texts to read."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from boostqa.errors import ConfigError
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import MatchKind

_SHOWN_CHARACTERS = 300  # of a text on screen
_GROUP = ("benchmark", "source", "generator", "kind")
_PAIR = ("draft_id", "field", "benchmark", "benchmark_item", "kind", "score", "match", "item_text", "benchmark_text")


def collect(warehouse: Warehouse, kind: MatchKind | None, limit: int) -> dict[str, Any]:
    """{"hits": [benchmark, source, generator, kind, items, hits, mean_score], "pairs": the first `limit` rows, the most
    similar first}, of one kind or of both.

    Raises ConfigError when no items were compared in this warehouse.
    """
    if not warehouse.exists("contamination"):
        raise ConfigError(f"no contamination in warehouse {warehouse.location}: run the line to `clean` first")
    rows: DataFrame = warehouse.read("contamination")
    if kind is not None:
        rows = rows.where(F.col("kind") == kind)
    items, hits, mean = F.countDistinct("draft_id"), F.count("*"), F.avg("score")
    groups = rows.groupBy(*_GROUP).agg(items.alias("items"), hits.alias("hits"), mean.alias("mean_score"))
    order = (F.desc("score"), *(F.col(c) for c in ("benchmark", "benchmark_item", "draft_id", "field", "kind")))
    return {
        "hits": [r.asDict() for r in groups.orderBy(*_GROUP).collect()],
        "pairs": [r.asDict() for r in rows.select(*_PAIR).orderBy(*order).limit(limit).collect()],
    }


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} ..."


def show(facts: dict[str, Any], console: Console) -> None:
    """Print what `collect` found: the hits as a table, then each pair side by side."""
    if not facts["hits"]:
        console.print("no item holds or resembles a benchmark item")
        return
    grid = Grid(*_GROUP, "items", "hits", "mean score")
    for column in grid.columns[len(_GROUP) :]:
        column.justify = "right"
    for row in facts["hits"]:
        numbers = (str(row["items"]), str(row["hits"]), f"{row['mean_score']:.2f}")
        grid.add_row(*(row[name] for name in _GROUP), *numbers)
    console.print(grid)
    grid = Grid("kind and score", "item", "benchmark item", show_lines=True)
    for pair in facts["pairs"]:
        item = f"{pair['draft_id'][:12]} {pair['field']}\n{_cut(pair['item_text'])}"
        theirs = f"{pair['benchmark']}/{pair['benchmark_item']}\n{_cut(pair['benchmark_text'])}"
        grid.add_row(f"{pair['kind']}\n{pair['score']:.2f}", Text(item), Text(theirs))
    if facts["pairs"]:
        console.print(grid)
