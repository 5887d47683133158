"""What the upkeep of a warehouse's tables did, for people."""

from typing import Any

from rich.console import Console
from rich.table import Table as Grid


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print a row for each table: files before and after, size, and files removed."""
    grid = Grid("table", "files before", "files", "MB", "removed")
    for column in grid.columns[1:]:
        column.justify = "right"
    for row in rows:
        files = f"{row['files_before']:,}", f"{row['files']:,}"
        grid.add_row(row["table"], *files, f"{row['bytes'] / 1e6:,.1f}", f"{row['removed']:,}")
    console.print(grid)
