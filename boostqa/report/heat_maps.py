"""Heat maps as rows and cells of a table: what the probe found, what was budgeted, what became of what was aimed at."""

from typing import Any, NamedTuple

from boostqa.report.probe_plots import MEASURES, pooled
from boostqa.taxonomy import english_names
from boostqa.vocabulary import GRADES, ProbeMethod
from boostqa.wilson import interval

CHECKPOINTS = 3  # shown of a series: those that have seen most
Row = dict[str, Any]


class Cell(NamedTuple):
    """A number, how strongly it is coloured (0..1), and what is said below it."""

    text: str
    heat: float
    below: str


class HeatMap(NamedTuple):
    """A table of cells: a row has a name and a cell, or None, for each column."""

    title: str
    note: str
    corner: str
    columns: tuple[str, ...]
    rows: list[tuple[str, list[Cell | None]]]


def _fields(rows: list[Row]) -> list[tuple[str, str]]:
    names = english_names()
    return [(code, f"{code} {names.get(code, '')}".strip()) for code in sorted({r["discipline"] for r in rows})]


def of_probe(rows: list[Row]) -> list[HeatMap]:
    """PROBE rows -> a heat map for each of the last checkpoints of the round that was probed last, and each method."""
    seen = sorted({(r["tokens_seen"] or 0, r["round"], r["checkpoint"]) for r in rows}, reverse=True)[:CHECKPOINTS]
    found = []
    for tokens, in_round, checkpoint in seen:
        own = [r for r in rows if (r["checkpoint"], r["round"]) == (checkpoint, in_round)]
        for method in [m for m in ProbeMethod if any(r["method"] == m for r in own)]:
            of_method = [r for r in own if r["method"] == method]
            value, items = pooled(of_method)
            trained = f", {tokens:,} tokens seen" if tokens else ""
            note = f"{checkpoint}{trained}: {value:.2f} over {items} items; "
            if method == ProbeMethod.REFERENCE:
                most, note = max(r["bits_per_byte"] for r in of_method), note + "fewer bits are better"
            else:
                chance = sum(r["chance"] * r["items"] for r in of_method) / items
                most, note = 1.0, note + f"guessing gives {chance:.2f}"
            cells = {(r["discipline"], r["difficulty"]): _score(r, most) for r in of_method}
            found.append(_map(MEASURES[method].capitalize(), note, of_method, cells))
    return found


def _score(row: Row, most: float) -> Cell:
    if row["accuracy"] is None:
        error = row["bits_per_byte_se"]
        spread = f"± {1.96 * error:.2f}, " if error is not None else ""
        return Cell(f"{row['bits_per_byte']:.2f}", row["bits_per_byte"] / (most or 1), f"{spread}n {row['items']}")
    between = f"{row['wilson_low']:.2f} to {row['wilson_high']:.2f}"
    return Cell(f"{row['accuracy']:.2f}", row["accuracy"], f"{between}, n {row['items']}")


def _map(title: str, note: str, rows: list[Row], cells: dict[tuple[str, str], Cell]) -> HeatMap:
    levels = tuple(g for g in GRADES if any(level == g for _, level in cells))
    lines = [(name, [cells.get((code, level)) for level in levels]) for code, name in _fields(rows)]
    return HeatMap(title, note, "discipline (ISCED-F 2013)", levels, lines)


def of_budget(rows: list[Row]) -> HeatMap | None:
    """The BUDGET rows of a round -> kept tokens wanted of each cell; None without a budget."""
    if not rows:
        return None
    most = max(r["tokens"] for r in rows) or 1
    cells = {
        (r["discipline"], r["difficulty"]): Cell(
            f"{r['tokens']:,}",
            r["tokens"] / most,
            ", ".join(filter(None, (_requests(r), r["bound"]))),
        )
        for r in rows
    }
    note = f"{sum(r['tokens'] for r in rows):,} tokens, {sum(r['requests'] for r in rows):,} requests; what holds a cell is named"
    return _map("Kept tokens wanted", note, rows, cells)


def _requests(row: Row) -> str:
    return "1 request" if row["requests"] == 1 else f"{row['requests']:,} requests"


def of_aims(aims: dict[str, dict[str, dict[str, int]]]) -> list[HeatMap]:
    """ "aims" of report/difficulty.py -> a heat map for each strategy: a row is an aim, colours are shares of it."""
    found = []
    for strategy, transitions in aims.items():
        lines: list[tuple[str, list[Cell | None]]] = []
        for aim, measured in sorted(transitions.items()):
            n, below = sum(measured.values()), sum(k for level, k in measured.items() if level < aim)
            low, high = interval(below, n)
            line: list[Cell | None] = [
                Cell(str(measured[g]), measured[g] / n, f"{measured[g] / n:.0%}") if g in measured else None
                for g in GRADES
            ]
            lines.append((aim, [*line, Cell(f"{below / n:.0%}", 0.0, f"{low:.0%} to {high:.0%}, n {n}")]))
        found.append(
            HeatMap(strategy, "drafts", "aimed at", (*(f"measured {g}" for g in GRADES), "below the aim"), lines)
        )
    return found
