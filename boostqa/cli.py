"""`boostqa`: the pipeline from a terminal. A thin face over jobs and tables."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from boostqa import config as conf
from boostqa import pipeline
from boostqa import preview as trial
from boostqa.errors import ConfigError
from boostqa.report import side_by_side
from boostqa.report import status as status_report
from boostqa.report.explain import explain as explain_item
from boostqa.vocabulary import STAGES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Question-answer data for mid-training, on Spark.",
)
ConfigOption = Annotated[str, typer.Option("--config", help="conf file (YAML)")]
SetOption = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="override one conf value; may repeat")]


def _stages(first: str, last: str) -> tuple[str, ...]:
    for name in (first, last):
        if name not in STAGES:
            raise ConfigError(f"no stage {name!r}; the stages are {', '.join(STAGES)}")
    if STAGES.index(first) > STAGES.index(last):
        raise ConfigError(f"--from {first} comes after --to {last}; the order is {', '.join(STAGES)}")
    return STAGES[STAGES.index(first) : STAGES.index(last) + 1]


@app.command()
def run(
    config: ConfigOption,
    first: Annotated[str, typer.Option("--from", help="first stage")] = STAGES[0],
    last: Annotated[str, typer.Option("--to", help="last stage")] = STAGES[-1],
    settings: SetOption = [],  # noqa: B006  (typer needs the list)
) -> None:
    """Run the stages in order in one Spark session; what the ledger holds is not asked again."""

    def action() -> None:
        pipeline.run(conf.load(config, settings), _stages(first, last))

    sys.exit(pipeline.report_errors(action))


@app.command()
def preview(
    config: ConfigOption,
    count: Annotated[int, typer.Option("-n", min=1, help="synthesis requests to follow")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable, nothing cut")] = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Take a few requests through the whole line and show each from seed to text; only the ledger is written."""

    def action() -> None:
        facts = trial.preview(conf.load(config, settings), count)
        if as_json:
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
        else:
            side_by_side.show(facts, Console(width=None if sys.stdout.isatty() else 160))

    sys.exit(pipeline.report_errors(action))


@app.command()
def status(
    config: ConfigOption,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Show the last run of each stage and every table, from the tables alone."""

    def action() -> None:
        loaded = conf.load(config, settings)
        facts = status_report.collect(pipeline.warehouse(loaded))
        if as_json:
            typer.echo(json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False))
        else:
            status_report.show(facts, Console(width=None if sys.stdout.isatty() else 160))

    sys.exit(pipeline.report_errors(action))


@app.command()
def explain(
    config: ConfigOption,
    item: Annotated[str, typer.Argument(help="draft_id, or its first characters")],
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Say why an item is in the mix or not: its seed, request, labels, votes and rejects."""

    def action() -> None:
        loaded = conf.load(config, settings)
        typer.echo(
            json.dumps(explain_item(pipeline.warehouse(loaded), item), indent=2, ensure_ascii=False, default=str)
        )

    sys.exit(pipeline.report_errors(action))


def main() -> None:
    """Console entry point."""
    app(prog_name=Path(sys.argv[0]).name)
