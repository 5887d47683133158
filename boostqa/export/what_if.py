"""What a mix of the tables as they are would hold under a conf: tokens by cell and by what they come from; writes nothing."""

from collections import Counter
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from boostqa.calls.models import target_tokenizer
from boostqa.config import Config
from boostqa.errors import GateFailed
from boostqa.rounds import exported
from boostqa.stages import mix, quarantine, withdrawal
from boostqa.storage.warehouse import Warehouse
from boostqa.taxonomy import english_names

BY = ("round", "strategy", "format", "source", "lang")
_SHOWN = 20  # cells on the screen
Row = dict[str, Any]


def what_if(warehouse: Warehouse, config: Config) -> Row:
    """{"tokens": asked for, "rounds", "there": tokens fit for the mix, "taken", "short": what is missing of those asked for,
    "cells": a dict for each cell with its share of the tokens, what is there, taken and short of the share, "by": taken tokens
    by round, strategy, format, source and language}.

    Raises GateFailed where the gates let no round pass.
    """
    rounds = exported((r.asDict() for r in warehouse.rows("verdict").collect()), config)
    if not rounds:
        raise GateFailed("the gates let no round pass, so any mix is empty: boostqa status says which block")
    clean, budget = (warehouse.rows(name).where(F.col("round").isin(rounds)) for name in ("clean", "budget"))
    passed, _ = quarantine.split(clean, warehouse.rows("quarantine"))
    passed = withdrawal.left(passed, warehouse.rows("withdrawal"))
    rendered = mix.render(passed, target_tokenizer(config)).persist()
    rows, _ = mix.choose(rendered, budget, config.mix)
    groups = (*mix.CELL, *BY)
    taken = [r.asDict() for r in _summed(rows, *groups).collect()]
    there = {(r["discipline"], r["difficulty"]): r["tokens"] for r in _summed(rendered, *mix.CELL).collect()}
    shares = {
        (r["discipline"], r["difficulty"]): r["share"] for r in mix.cell_shares(budget, config.mix.tokens).collect()
    }
    rendered.unpersist()
    by: dict[str, Counter[str]] = {name: Counter() for name in BY}
    cells: Counter[tuple[str, str]] = Counter()
    for row in taken:
        cells[row["discipline"], row["difficulty"]] += row["tokens"]
        for name, counter in by.items():
            counter[row[name]] += row["tokens"]
    total = cells.total()
    listed = [_cell(cell, shares.get(cell) or 0, there.get(cell, 0), cells[cell]) for cell in shares | there]
    return {
        "tokens": config.mix.tokens,
        "rounds": rounds,
        "there": sum(there.values()),
        "taken": total,
        "short": config.mix.tokens - total,
        "cells": sorted(listed, key=lambda c: (-c["share"], -c["taken"], c["discipline"], c["difficulty"])),
        "by": {name: dict(sorted(tokens.items(), key=lambda t: (-t[1], t[0]))) for name, tokens in by.items()},
    }


def _summed(rows: DataFrame, *groups: str) -> DataFrame:
    return rows.groupBy(*groups).agg(F.sum("tokens").alias("tokens"))


def _cell(cell: tuple[str, str], share: int, there: int, taken: int) -> Row:
    discipline, difficulty = cell
    told = {"discipline": discipline, "difficulty": difficulty, "name": english_names().get(discipline, "")}
    return {**told, "share": share, "there": there, "taken": taken, "short": max(share - taken, 0)}


def show(facts: Row, console: Console) -> None:
    """Print the cells, then what the tokens come from, and whether they are as many as asked for."""
    grid = Grid("cell", "discipline", "share", "there", "taken", "short", box=None)
    cells = [cell for cell in facts["cells"] if cell["share"] or cell["there"]]
    for cell in cells[:_SHOWN]:
        figures = (f"{cell[name]:,}" for name in ("share", "there", "taken", "short"))
        grid.add_row(f"{cell['discipline']}/{cell['difficulty']}", cell["name"], *figures)
    for column in grid.columns[2:]:
        column.justify = "right"
    console.print(grid)
    if len(cells) > _SHOWN:
        console.print(f"the first {_SHOWN} of {len(cells)} cells; --json has all", highlight=False)
    for name, tokens in facts["by"].items():
        console.print(
            f"{name}: " + ", ".join(f"{key} {n:,}" for key, n in tokens.items()), markup=False, highlight=False
        )
    ends = "the total is met" if facts["there"] > facts["tokens"] else "everything that is there"
    console.print(
        f"{facts['taken']:,} of {facts['tokens']:,} tokens ({ends}, {facts['short']:,} short), of {facts['there']:,} that are "
        f"fit for the mix, rounds {', '.join(facts['rounds'])}; nothing is written",
        markup=False, highlight=False,
    )  # fmt: skip
