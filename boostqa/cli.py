"""`boostqa`: the pipeline from a terminal. A thin face over jobs and tables."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from boostqa import ROOT, __version__, cli_export, cli_look, pipeline, score_annotators, train_annotator
from boostqa import config as conf
from boostqa import preview as trial
from boostqa.calls import ledger as ledger_calls
from boostqa.cli_options import ConfigOption, JsonOption, SetOption, answer, wide
from boostqa.cli_quarantine import quarantine
from boostqa.config.hardware import load_hardware
from boostqa.console import CONSOLE
from boostqa.databricks import end
from boostqa.errors import ConfigError
from boostqa.forecast import together
from boostqa.preflight import missing
from boostqa.report import forecast as forecast_report
from boostqa.report import scorecard as scorecard_report
from boostqa.report import side_by_side, upkeep
from boostqa.vocabulary import STAGES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Question-answer data for mid-training, on Spark.",
)
app.add_typer(quarantine, name="quarantine")
for look in (cli_look.status, cli_look.report, cli_look.show, cli_look.contamination, cli_look.plan, cli_look.explain):
    app.command()(look)
for export in (cli_export.mix, cli_export.verify, cli_export.reproduce, cli_export.withdraw):
    app.command()(export)
ledger = typer.Typer(no_args_is_help=True, help="What was asked of models: release.")
app.add_typer(ledger, name="ledger")


def _stages(first: str, last: str) -> tuple[str, ...]:
    for name in (first, last):
        if name not in STAGES:
            raise ConfigError(f"no stage {name!r}; the stages are {', '.join(STAGES)}")
    if STAGES.index(first) > STAGES.index(last):
        raise ConfigError(f"--from {first} comes after --to {last}; the order is {', '.join(STAGES)}")
    return STAGES[STAGES.index(first) : STAGES.index(last) + 1]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"boostqa {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def init(file: Annotated[Path, typer.Argument(help="where to write it")] = Path("boostqa.yaml")) -> None:
    """Write a commented conf to start from, with defaults that are fast on a laptop; an existing file is left alone."""

    def action() -> None:
        try:
            with file.open("x", encoding="utf-8") as new:
                new.write((ROOT / "conf" / "start.yaml").read_text(encoding="utf-8"))
        except FileExistsError:
            raise ConfigError(f"{file} exists: it is not overwritten; name another file: boostqa init FILE") from None
        except OSError as error:
            raise ConfigError(f"{file}: cannot write the conf ({error.strerror}); name another file") from None
        typer.echo(f"{file}: fill in your files and models, then boostqa run --config {file}")

    sys.exit(pipeline.report_errors(action))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the conf, by which editors check it and complete its keys."""
    typer.echo(json.dumps(conf.Config.model_json_schema(), indent=2))


@app.command()
def run(
    config: ConfigOption,
    first: Annotated[str, typer.Option("--from", help="first stage")] = STAGES[0],
    last: Annotated[str, typer.Option("--to", help="last stage")] = STAGES[-1],
    in_round: Annotated[
        str | None,
        typer.Option("--round", metavar="NAME", help="only this round of the conf, and the mix; default: all"),
    ] = None,
    force: Annotated[list[str], typer.Option("--force", metavar="STAGE", help="run although current; may repeat")] = [],  # noqa: B006
    settings: SetOption = [],  # noqa: B006  (typer needs the list)
) -> None:
    """Run the stages that are not current, in order, in one Spark session; what the ledger holds is not asked again."""

    def action() -> None:
        stages = _stages(first, last)
        if wrong := sorted(set(force) - set(stages)):
            raise ConfigError(f"--force {wrong[0]}: not among the stages of this run: {', '.join(stages)}")
        pipeline.run(conf.load(config, settings, missing), stages, force=force, in_round=in_round)

    sys.exit(pipeline.report_errors(action))


@app.command()
def preview(
    config: ConfigOption,
    count: Annotated[int, typer.Option("-n", min=1, help="synthesis requests to follow")] = 8,
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Take a few requests through the whole line and show each from seed to text; only the ledger is written."""

    def action() -> None:
        facts = trial.preview(conf.load(config, settings, missing), count)
        answer(facts, as_json, side_by_side.show)

    sys.exit(pipeline.report_errors(action))


@app.command()
def distil(config: ConfigOption, settings: SetOption = []) -> None:  # noqa: B006
    """Train the distilled annotator on labelled items, or on the annotator's own labels, and say how far it agrees."""

    def action() -> None:
        train_annotator.show(train_annotator.train(conf.load(config, settings)), CONSOLE)

    sys.exit(pipeline.report_errors(action))


@app.command()
def scorecard(
    config: ConfigOption,
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Show what the annotators are worth on labelled items: accuracy, calibration, coverage, rank of difficulty, speed."""

    def action() -> None:
        facts = score_annotators.score(conf.load(config, settings))
        if as_json:
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        else:
            scorecard_report.show(facts["rows"], facts["rates"], wide())
            typer.echo(f"confusion matrices: {facts['figure']}")

    sys.exit(pipeline.report_errors(action))


@app.command()
def forecast(
    config: ConfigOption,
    tokens: Annotated[float | None, typer.Option("--tokens", min=1, help="kept tokens, such as 100e9")] = None,
    hardware: Annotated[
        str | None, typer.Option("--hardware", metavar="FILE", help="rates of models and price")
    ] = None,
    actual: Annotated[
        bool, typer.Option("--actual", help="the last round against what the ones before it foretold")
    ] = False,
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Say what a number of kept tokens will cost, from the rounds made so far: requests, tokens, GPU-hours, cost."""

    def action() -> None:
        loaded = conf.load(config, settings)
        rates = load_hardware(hardware) if hardware else None
        rounds = forecast_report.collect(pipeline.warehouse(loaded))
        if actual:
            facts, show = forecast_report.against(rounds), forecast_report.show_actual
        else:
            measured = together(list(rounds.values()))
            facts, show = forecast_report.predict(measured, tokens or loaded.plan.tokens, rates), forecast_report.show
        answer(facts, as_json, show)

    sys.exit(pipeline.report_errors(action))


@app.command()
def maintain(config: ConfigOption, as_json: JsonOption = False, settings: SetOption = []) -> None:  # noqa: B006
    """Join the small files of the tables (OPTIMIZE), remove those that no version within its retention needs (VACUUM)."""

    def action() -> None:
        answer(pipeline.maintain(conf.load(config, settings)), as_json, upkeep.show)

    sys.exit(pipeline.report_errors(action))


@ledger.command("release")
def release_refused(
    config: ConfigOption,
    where: Annotated[str, typer.Option("--where", help="SQL condition, such as \"error like 'prompt_too_long%'\"")],
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Forget refusals that match a condition on the table completion: the next run asks these requests again."""

    def action() -> None:
        released = ledger_calls.release(pipeline.warehouse(conf.load(config, settings)), where)
        typer.echo(f"{released} refused requests will be asked again")

    sys.exit(pipeline.report_errors(action))


def main() -> None:
    """The command line with the process's arguments; ends by SystemExit, but a good end on Databricks."""
    try:
        app(prog_name="boostqa")
    except SystemExit as ended:
        end(int(ended.code or 0))
