"""`boostqa quarantine`: what the gates hold back, and what people decide about it."""

import json
import sys
from typing import Annotated, Any

import typer

from boostqa import config as conf
from boostqa import pipeline
from boostqa.cli_options import ConfigOption, JsonOption, SetOption, answer
from boostqa.gates import decisions
from boostqa.report import quarantine as quarantine_report
from boostqa.storage.lease import user
from boostqa.vocabulary import QuarantineEvent

quarantine = typer.Typer(no_args_is_help=True, help="What the gates hold back: list, show, release, replay.")
GateOption = Annotated[str | None, typer.Option("--gate", help="only what this gate holds back")]
ItemsArgument = Annotated[list[str] | None, typer.Argument(help="draft_ids, or their first characters")]
WhoOption = Annotated[str | None, typer.Option("--who", help="who decides; the user of the system by default")]


@quarantine.command("list")
def list_quarantine(
    config: ConfigOption,
    gate: GateOption = None,
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """List what is held back, and what was released: counts by gate and state, then the items."""

    def action() -> None:
        found = decisions.listing(pipeline.warehouse(conf.load(config, settings)), gate)
        answer(found, as_json, quarantine_report.show)

    sys.exit(pipeline.report_errors(action))


@quarantine.command("show")
def show_quarantined(
    config: ConfigOption,
    item: Annotated[str, typer.Argument(help="draft_id, or its first characters")],
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Show an item with its text, the gates that hold it back, what they saw, and all that was decided."""

    def action() -> None:
        found = decisions.story(pipeline.warehouse(conf.load(config, settings)), item)
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False, default=str))

    sys.exit(pipeline.report_errors(action))


def _decide(event: QuarantineEvent, config: str, settings: list[str], **chosen: Any) -> None:
    def action() -> None:
        made = decisions.decide(pipeline.warehouse(conf.load(config, settings)), event, **chosen)
        typer.echo(f"{made} {event}; they count from the next `boostqa run --config {config} --from gate` on")

    sys.exit(pipeline.report_errors(action))


@quarantine.command("release")
def release(
    config: ConfigOption,
    items: ItemsArgument = None,
    gate: GateOption = None,
    why: Annotated[str | None, typer.Option("--why", help="reason (required)")] = None,
    who: WhoOption = None,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Let items through, or all that a gate holds back: these contents are not held back by the gate again."""
    _decide(QuarantineEvent.RELEASED, config, settings, items=items or [], gate=gate, who=who or user(), why=why)


@quarantine.command("replay")
def replay(
    config: ConfigOption,
    items: ItemsArgument = None,
    gate: GateOption = None,
    why: Annotated[str | None, typer.Option("--why", help="reason")] = None,
    who: WhoOption = None,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Have items judged afresh by the next gate run, those that were released, too."""
    _decide(QuarantineEvent.REPLAYED, config, settings, items=items or [], gate=gate, who=who or user(), why=why)
