"""Why a cell has the tokens that it has: the factors of its budget, one a line, and its place among the others."""

from typing import Any

from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from boostqa.errors import ConfigError
from boostqa.storage.warehouse import Warehouse
from boostqa.taxonomy import english_names
from boostqa.tracking.stage_run import last_runs
from boostqa.vocabulary import HIGH_GRADES

_SHOWN = 20  # cells of the overview


def collect(warehouse: Warehouse, of_round: str | None = None) -> list[dict[str, Any]]:
    """BUDGET rows of a round (default: the one that was planned last) with the English `name` of the discipline, most
    tokens first. Raises ConfigError without a budget."""
    planned = [name for name, stage in last_runs(warehouse) if stage == "plan"]
    if not planned or of_round not in (None, *planned):
        told = f" of round {of_round}" if of_round and planned else ""
        raise ConfigError(f"no budget{told} in warehouse {warehouse.location}: run the line to `plan` first")
    names = english_names()
    budget = warehouse.read("budget").where(F.col("round") == (of_round or planned[-1]))
    rows = [r.asDict() | {"name": names[r["discipline"]]} for r in budget.collect()]
    return sorted(rows, key=lambda r: (-r["tokens"], r["discipline"], r["difficulty"]))


def find(rows: list[dict[str, Any]], cell: str) -> dict[str, Any]:
    """The row of a cell written as CODE/LEVEL (0533/H4). Raises ConfigError for one that the budget does not have."""
    found = [r for r in rows if f"{r['discipline']}/{r['difficulty']}" == cell.upper()]
    if not found:
        have = sorted({r["discipline"] for r in rows})
        raise ConfigError(
            f"no cell {cell} in the budget: write CODE/LEVEL, such as 0533/H4; it has levels H1 to H5 of STEM and H4 and H5 of "
            f"other disciplines with seeds: {', '.join(have)}"
        )
    return found[0]


def why(rows: list[dict[str, Any]], row: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(factor, figure, where it comes from) of a cell, in the order in which they make its tokens."""
    shown = "none" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
    source = "no item was probed: a full deficit"
    if row["accuracy"] is not None:
        level = {"broad_field": "its broad field", "all": "all items"}[row["shrunk_to"]]
        source = f"{row['probe_items']} items of the cell; {row['shrink_weight']:.0%} of it from {level}; chance {row['chance']:.3f}"
    trend = "no series of checkpoints with tokens_seen"
    if row["trend"]:
        trend = f"{row['trend']}: {row['slope']:+.4f} accuracy per ln(tokens seen); plan.exploration where it is flat"
    side = [r for r in rows if (r["difficulty"] in HIGH_GRADES) == (row["difficulty"] in HIGH_GRADES)]
    bound = {
        "floor": "held up by the floor",
        "capacity": "held down by the capacity",
        "novelty": "it only repeated itself: nothing more until its discipline has new seeds",
        None: "as its weight asks",
    }[row["bound"]]
    full = sum(r["bound"] == "capacity" for r in side)
    where = f"of the {len(side)} cells at {', '.join(sorted({r['difficulty'] for r in side}))}"
    return [
        ("accuracy", shown, source),
        ("deficit", f"{row['deficit']:.3f}", "1 - (accuracy - chance) / (1 - chance)"),
        ("x learnability", f"{row['learnability']:.3f}", trend),
        ("x stem_factor", f"{row['stem_factor']:.3f}", "plan.stem_boost for STEM, else 1"),
        ("x supply_factor", f"{row['supply_factor']:.3f}", f"square root of the share of seeds: {row['seeds']} in the discipline"),
        ("= weight", f"{row['weight']:.4f}", f"as a share {where}"),
        ("side_tokens", f"{row['side_tokens']:,}", f"wanted {where}; {full} of them are full, the others have what these leave"),
        ("floor", f"{row['floor']:,}", "plan.floor_tokens, as far as its seeds bear it"),
        ("novelty", "" if row["novelty"] is None else f"{row['novelty']:.2f}", "share of its items that were new when it was last asked"),
        ("capacity", f"{row['capacity']:,}", f"{row['questions']} questions of {row['bearing_seeds']} seeds"),
        ("tokens", f"{row['tokens']:,}", bound),
        ("/ kept_per_request", "" if row["kept_per_request"] is None else f"{row['kept_per_request']:.1f}", "tokens that such requests left in earlier rounds; the conf's before"),
        ("requests", f"{row['requests']:,}", "rounded, so that their sum is"),
    ]  # fmt: skip


def show(rows: list[dict[str, Any]], cell: str | None, console: Console) -> None:
    """Print why a cell has its tokens, or the cells with most tokens."""
    if cell is not None:
        row = find(rows, cell)
        console.print(f"[bold]{row['discipline']} {row['name']}, {row['difficulty']}[/]", highlight=False)
        grid = Grid("factor", "figure", "from", box=None)
        for line in why(rows, row):
            grid.add_row(*line)
    else:
        columns = ("accuracy", "deficit", "weight", "capacity", "tokens", "requests", "bound")
        grid = Grid("cell", "discipline", *columns, box=None)
        for row in rows[:_SHOWN]:
            accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
            figures = (f"{row['deficit']:.3f}", f"{row['weight']:.4f}", *(f"{row[c]:,}" for c in columns[3:6]))
            grid.add_row(
                f"{row['discipline']}/{row['difficulty']}", row["name"], accuracy, *figures, row["bound"] or ""
            )
    for column in grid.columns[1:] if cell is not None else grid.columns[2:-1]:
        column.justify = "right" if column.header != "from" else "left"
    console.print(grid)
    if cell is None:
        console.print(
            f"the first {min(_SHOWN, len(rows))} of {len(rows)} cells; --why CODE/LEVEL explains one", highlight=False
        )
