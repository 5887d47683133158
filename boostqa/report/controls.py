"""What became of the controls, as a table for a terminal: one line a defect."""

from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from boostqa.stages.power import DIFFERENT, EQUAL, JUDGE, LINE, VOTER
from boostqa.vocabulary import Defect

_STOPPERS = 3  # rules named in a line


def lines(power: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """POWER rows -> one for each defect, good items first: that of the whole line, with its `name` and what it was `stopped`
    by, the rules that stopped most first."""
    line = [r for r in power if r["check"] == LINE]
    found = []
    for row in sorted(line, key=lambda r: (r["defect"] != Defect.NONE, r["defect"])):
        rules = [(r["items"] - r["passed"], r["check"]) for r in power if r["defect"] == row["defect"] and _is_rule(r)]
        named = ", ".join(f"{rule} {n}" for n, rule in sorted(rules, reverse=True)[:_STOPPERS] if n)
        name = "none (good items)" if row["defect"] == Defect.NONE else row["defect"]
        found.append(row | {"name": name, "stopped": named})
    return found


def sentences(power: list[dict[str, Any]]) -> list[str]:
    """What voter and judge are worth."""
    told = [
        f"voter {row['model']}: {row['passed']} of {row['items']} known questions right at the first attempt "
        f"(guessing: {row['chance'] * row['items']:.1f})"
        for row in power
        if row["check"] == VOTER
    ]
    judged = {r["defect"]: r for r in power if r["check"] == JUDGE}
    if {EQUAL, DIFFERENT} <= set(judged):
        yes = " and ".join(f"{judged[d]['passed']} of {judged[d]['items']} {d}" for d in (EQUAL, DIFFERENT))
        told.append(f"judge {judged[EQUAL]['model']}: calls equal {yes} pairs")
    return told


def show(power: list[dict[str, Any]], console: Console) -> None:
    """Print POWER rows: of each defect how many controls came through, at what cost, and which rules stopped the others;
    then what voter and judge are worth. Nothing without controls."""
    if not (found := lines(power)):
        return
    grid = Grid("controls", "items", "pass", "95% interval", "tokens", "stopped by")
    for column in grid.columns[1:5]:
        column.justify = "right"
    for row in found:
        interval = f"{row['wilson_low']:.0%} to {row['wilson_high']:.0%}"
        grid.add_row(row["name"], str(row["items"]), str(row["passed"]), interval, str(row["tokens"]), row["stopped"])
    console.print(grid)
    for sentence in sentences(power):
        console.print(sentence, highlight=False, markup=False)


def _is_rule(row: dict[str, Any]) -> bool:
    return row["check"] not in (LINE, VOTER, JUDGE)
