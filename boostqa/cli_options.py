"""Options that commands share, and how wide their tables are."""

import sys
from typing import Annotated

import typer
from rich.console import Console

ConfigOption = Annotated[str, typer.Option("--config", help="conf file (YAML), a path or URI")]
SetOption = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="override one conf value; may repeat")]


def wide() -> Console:
    """Where tables are printed: as wide as the terminal, or wide enough for a file."""
    return Console(width=None if sys.stdout.isatty() else 160)
