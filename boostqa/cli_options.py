"""Options that commands share, and how wide their tables are."""

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

ConfigOption = Annotated[str, typer.Option("--config", help="conf file (YAML), a path or URI")]
SetOption = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="override one conf value; may repeat")]
JsonOption = Annotated[bool, typer.Option("--json", help="machine-readable, nothing cut")]


def wide() -> Console:
    """Where tables are printed: as wide as the terminal, or wide enough for a file."""
    return Console(width=None if sys.stdout.isatty() else 160)


def answer(facts: Any, as_json: bool, show: Callable[[Any, Console], object]) -> None:
    """Print what a command has found, for machines or, by `show`, for people."""
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
    else:
        show(facts, wide())
