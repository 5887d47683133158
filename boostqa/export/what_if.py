"""What a mix of the tables as they are would hold under a conf: tokens by cell and by what they come from; writes nothing."""

from collections import Counter
from typing import Any

from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from boostqa.blend import summary
from boostqa.calls.models import target_tokenizer
from boostqa.config import Config
from boostqa.errors import GateFailed
from boostqa.export.blended import blended, stored, tables_of
from boostqa.rounds import exported
from boostqa.storage.warehouse import Warehouse
from boostqa.taxonomy import english_names

BY = ("round", "strategy", "format", "source", "lang")
_SHOWN = 20  # cells on the screen
Row = dict[str, Any]


def what_if(warehouse: Warehouse, config: Config) -> Row:
    """{"tokens": asked for, "rounds", "there": tokens fit for the mix, each document once, "taken", "short": what is missing of
    those asked for, "components": {name: boostqa/blend.py's summary}, "unread": corpora that job 9 has not read yet, "cells": a
    dict for each cell of each component with the tokens asked for, there, taken, and short of those asked for, "by": taken
    tokens by round, strategy, format, source and language}.

    Raises GateFailed where the gates let no round pass.
    """
    rounds = exported((r.asDict() for r in warehouse.rows("verdict").collect()), config)
    if not rounds:
        raise GateFailed("the gates let no round pass, so any mix is empty: boostqa status says which block")
    frames = {name: warehouse.rows(name) for name in tables_of(config.mix)}
    frames |= {name: frames[name].where(F.col("round").isin(rounds)) for name in ("clean", "budget")}
    known = (
        {r["source"] for r in frames["corpus"].select("source").distinct().collect()} if "corpus" in frames else set()
    )
    with stored() as store:
        rows, _, parts, _ = blended(frames, config.mix, target_tokenizer(config), store)
        taken = [r.asDict() for r in rows.groupBy(*BY).agg(F.sum("tokens").alias("tokens")).collect()]
    by: dict[str, Counter[str]] = {name: Counter() for name in BY}
    for row in taken:
        for name, counter in by.items():
            counter[row[name] or "-"] += row["tokens"]
    total, names = sum(row["tokens"] for row in taken), english_names()
    cells = [
        {**p._asdict(), "name": names.get(p.cell.partition("/")[0], ""), "short": max(p.asked - p.taken, 0)}
        for p in parts
    ]
    return {
        "tokens": config.mix.tokens,
        "rounds": rounds,
        "there": sum(p.there for p in parts),
        "taken": total,
        "short": config.mix.tokens - total,
        "components": summary(parts),
        "unread": [source.name for source in config.mix.sources if source.name not in known],
        "cells": sorted(cells, key=lambda c: (-c["asked"], -c["taken"], c["component"], c["cell"])),
        "by": {name: dict(sorted(tokens.items(), key=lambda t: (-t[1], t[0]))) for name, tokens in by.items()},
    }


def show(facts: Row, console: Console) -> None:
    """Print components and cells, then what the tokens come from, and whether they are as many as asked for."""
    components = Grid("component", "asked", "there", "taken", "short", "passes", box=None)
    for name, of in facts["components"].items():
        figures = [of[key] for key in ("asked", "there", "taken")]
        short, passes = sum(of["short"].values()), f"{of['taken'] / of['there']:.1f}" if of["there"] else "-"
        components.add_row(name, *(f"{n:,}" for n in (*figures, short)), passes)
    grid = Grid("component", "cell", "discipline", "asked", "there", "taken", "short", box=None)
    cells = [cell for cell in facts["cells"] if cell["asked"] or cell["there"]]
    for cell in cells[:_SHOWN]:
        figures = [cell[key] for key in ("asked", "there", "taken", "short")]
        grid.add_row(cell["component"], cell["cell"] or "-", cell["name"], *(f"{n:,}" for n in figures))
    for column in (*components.columns[1:], *grid.columns[3:]):
        column.justify = "right"
    console.print(components)
    console.print(grid)
    if len(cells) > _SHOWN:
        console.print(f"the first {_SHOWN} of {len(cells)} cells; --json has all", highlight=False)
    for name, tokens in facts["by"].items():
        console.print(
            f"{name}: " + ", ".join(f"{key} {n:,}" for key, n in tokens.items()), markup=False, highlight=False
        )
    for name in facts["unread"]:
        console.print(
            f"{name}: not read yet, so nothing of it is there: the next run of job 9 reads it", highlight=False
        )
    console.print(
        f"{facts['taken']:,} of {facts['tokens']:,} tokens ({facts['short']:,} short), of {facts['there']:,} that are fit for the "
        f"mix, rounds {', '.join(facts['rounds'])}; nothing is written",
        markup=False, highlight=False,
    )  # fmt: skip
