"""What quarantine holds, as tables on a terminal."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

SHOWN = 50  # items on a terminal; --json lists more
EVIDENCE_CHARACTERS = 90


def show(found: dict[str, Any], console: Console) -> None:
    """Print items by gate and state, then the first of them."""
    if not found["counts"]:
        console.print("nothing is in quarantine and nothing was")
        return
    grid = Grid("gate", "state", "items")
    grid.columns[-1].justify = "right"
    for row in found["counts"]:
        grid.add_row(row["gate"], row["state"], str(row["items"]))
    console.print(grid)
    grid = Grid("draft", "gate", "state", "evidence", "who", "why", "at")
    for item in found["items"][:SHOWN]:
        state = item["state"] if item["current"] else f"{item['state']}, not in clean now"
        seen = " ".join(item["evidence"].split())[:EVIDENCE_CHARACTERS]
        cells = (item["draft_id"][:12], item["gate"], state, seen, item["who"], item["why"] or "", item["at"])
        grid.add_row(*map(escape, cells))
    console.print(grid)
    if (all_items := sum(row["items"] for row in found["counts"])) > SHOWN:
        console.print(f"{all_items - SHOWN} more: --json, or the table quarantine", highlight=False)
