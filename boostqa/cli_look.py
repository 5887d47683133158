"""Commands that look at a warehouse and change nothing: status, report, show, contamination, plan, explain."""

import json
import sys
from typing import Annotated

import typer

from boostqa import config as conf
from boostqa import pipeline, running
from boostqa.cli_options import ConfigOption, JsonOption, SetOption, answer, wide
from boostqa.export.place import item_at
from boostqa.export.shards import mix_folder
from boostqa.freshness import Freshness
from boostqa.report import browse, last_status, page
from boostqa.report import budget as budget_report
from boostqa.report import contamination as contamination_report
from boostqa.report import explain as explanation
from boostqa.report import status as status_report
from boostqa.tracking.outbox import PATIENT_SECONDS, Outbox
from boostqa.vocabulary import MatchKind


def status(
    config: ConfigOption,
    as_json: JsonOption = False,
    quick: Annotated[bool, typer.Option("--quick", help="without Spark: what the end of the last run said")] = False,
    sync: Annotated[bool, typer.Option("--sync", help="first send MLflow what it could not be told in a run")] = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Show what runs now and what failed, the last run of each stage and every table, and which stages are not current.

    Tables that a run is just writing are not read.
    """

    def action() -> None:
        loaded = conf.load(config, settings)
        if sync:
            Outbox(loaded).send_unsent(PATIENT_SECONDS)
        said = running.read(folder) if (folder := pipeline.progress_folder(loaded)) else None
        without_spark = quick or running.is_alive(said)
        told = (lambda line: None) if as_json else typer.echo
        for line in running.lines(said):
            told(line)
        facts = last_status.kept(loaded.warehouse, loaded.generation.ledger)
        if facts is None and not without_spark:
            facts = status_report.collect(pipeline.warehouse(loaded))
        if facts is None:
            told("tables were written since a run last ended here: they are not read now")
        elif not as_json:
            status_report.show(facts, wide())
        facts = (facts or {}) | {"running": said}
        if not without_spark:
            tables = pipeline.warehouse(loaded)
            facts["not_current"] = Freshness(tables.spark, loaded, tables).stale()
        if as_json:
            typer.echo(json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False))
        else:
            status_report.show_not_current(facts.get("not_current"), wide())

    sys.exit(pipeline.report_errors(action))


def report(config: ConfigOption, settings: SetOption = []) -> None:  # noqa: B006
    """Write one page for a browser, which needs no network, below `output`, as each run does at its end."""

    def action() -> None:
        loaded = conf.load(config, settings)
        tables = pipeline.warehouse(loaded)
        typer.echo(page.write(loaded.output, page.collect(tables, status_report.collect(tables))))

    sys.exit(pipeline.report_errors(action))


def show(
    config: ConfigOption,
    stage: Annotated[str | None, typer.Argument(help="what it let through, or with --rule rejected")] = None,
    table: Annotated[str | None, typer.Option("--table", help="any table instead")] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="rejects by this rule; all: by any")] = None,
    discipline: Annotated[str | None, typer.Option("--discipline", metavar="CODE", help="such as 0533")] = None,
    difficulty: Annotated[str | None, typer.Option("--difficulty", metavar="LEVEL", help="H1 to H5")] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="rows")] = 5,
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Show a few rows of a stage, the same each time: what it let through, or what it rejected and what that said."""

    def action() -> None:
        cell = {k: v for k, v in (("discipline", discipline), ("difficulty", difficulty)) if v is not None}
        facts = browse.collect(pipeline.warehouse(conf.load(config, settings)), stage, table, rule, cell, count)
        answer(facts, as_json, browse.show)

    sys.exit(pipeline.report_errors(action))


def contamination(
    config: ConfigOption,
    kind: Annotated[MatchKind | None, typer.Option("--kind", help="only these matches")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="pairs of texts to show")] = 10,
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Show what was found of benchmarks: hits by benchmark, source and generator, and pairs of texts side by side."""

    def action() -> None:
        facts = contamination_report.collect(pipeline.warehouse(conf.load(config, settings)), kind, limit)
        answer(facts, as_json, contamination_report.show)

    sys.exit(pipeline.report_errors(action))


def plan(
    config: ConfigOption,
    why: Annotated[str | None, typer.Option("--why", help="a cell as CODE/LEVEL, such as 0533/H4")] = None,
    of_round: Annotated[str | None, typer.Option("--round", metavar="NAME", help="default: the last planned")] = None,
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Show the budget of a round: its cells, or why one has the tokens that it has."""

    def action() -> None:
        rows = budget_report.collect(pipeline.warehouse(conf.load(config, settings)), of_round)
        if as_json:
            typer.echo(json.dumps([budget_report.find(rows, why)] if why else rows, indent=2, ensure_ascii=False))
        else:
            budget_report.show(rows, why, wide())

    sys.exit(pipeline.report_errors(action))


def explain(
    config: ConfigOption,
    item: Annotated[
        str,
        typer.Argument(
            help="draft_id or seed_id, or its first characters, or FILE:ROW or FILE@TOKEN of the export, from 0"
        ),
    ],
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Say why an item is in the mix or not: its seed, probe and budget, request, calls, labels, votes, rejects, gates, cost."""

    def action() -> None:
        loaded = conf.load(config, settings)
        draft_id = item_at(mix_folder(loaded.output), item) or item
        answer(explanation.explain(pipeline.warehouse(loaded), draft_id), as_json, explanation.show)

    sys.exit(pipeline.report_errors(action))
