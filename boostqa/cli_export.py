"""Commands about an export: what would another hold, is it whole, is it to be had again."""

import sys
from typing import Annotated, Any

import typer

from boostqa import config as conf
from boostqa import pipeline
from boostqa.cli_options import ConfigOption, JsonOption, SetOption, answer
from boostqa.errors import ContractError
from boostqa.export import manifest, what_if
from boostqa.export import reproduce as again
from boostqa.export import verify as files
from boostqa.export import withdraw as withdrawals
from boostqa.export.shards import mix_folder
from boostqa.storage.lease import user
from boostqa.vocabulary import Withdrawable


def mix(
    config: ConfigOption,
    settings: Annotated[
        list[str],
        typer.Option("--what-if", metavar="KEY=VALUE", help="another value of the conf, as mix.tokens=5e6; may repeat"),
    ],
    as_json: JsonOption = False,
) -> None:
    """Say what a mix with other settings would hold, by cell and origin, from the tables as they are; writes nothing."""

    def action() -> None:
        loaded = conf.load(config, settings)
        answer(what_if.what_if(pipeline.warehouse(loaded), loaded), as_json, what_if.show)

    sys.exit(pipeline.report_errors(action))


def verify(folder: Annotated[str, typer.Argument(help="of an export, with its manifest.json; a path or URI")]) -> None:
    """Hold the files of an export against its manifest, byte by byte, and name the first difference."""

    def action() -> None:
        if different := files.differences(folder):
            more = f" (and {len(different) - 1} more)" if len(different) > 1 else ""
            raise ContractError(f"{folder} is not what was exported: {different[0]}{more}")
        typer.echo(f"{_export(folder, manifest.required(folder))}, as exported")

    sys.exit(pipeline.report_errors(action))


def reproduce(
    config: ConfigOption,
    into: Annotated[str, typer.Option("--into", metavar="FOLDER", help="new folder or URI for the export")],
    of: Annotated[
        str | None, typer.Option("--of", metavar="FOLDER", help="with the manifest; default: the conf's")
    ] = None,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Make an export again from the table versions that its manifest names, in another folder, byte for byte."""

    def action() -> None:
        loaded = conf.load(config, settings)
        said = manifest.required(of or mix_folder(loaded.output))
        again.reproduce(loaded, pipeline.warehouse(loaded), said, into)
        typer.echo(f"{_export(into, said)}, byte for byte")

    sys.exit(pipeline.report_errors(action))


def withdraw(
    config: ConfigOption,
    seed: Annotated[list[str], typer.Option("--seed", help="seed_id, or its first characters; may repeat")] = [],  # noqa: B006
    source: Annotated[list[str], typer.Option("--source", help="name of a source; may repeat")] = [],  # noqa: B006
    licence: Annotated[list[str], typer.Option("--licence", help="as SPDX writes it; may repeat")] = [],  # noqa: B006
    why: Annotated[str | None, typer.Option("--why", help="reason (required)")] = None,
    who: Annotated[str | None, typer.Option("--who", help="who decides; the user of the system by default")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what is made from it")] = False,
    as_json: JsonOption = False,
    settings: SetOption = [],  # noqa: B006
) -> None:
    """Withdraw seeds, a source or a licence for good: what is made from them, and no mix from now on has it."""
    chosen = [
        (kind, value)
        for kind, values in ((Withdrawable.SEED, seed), (Withdrawable.SOURCE, source), (Withdrawable.LICENCE, licence))
        for value in values
    ]

    def action() -> None:
        found = withdrawals.withdraw(
            pipeline.warehouse(conf.load(config, settings)), chosen, who or user(), why, dry_run
        )
        answer(found, as_json, withdrawals.show)
        if not as_json and not dry_run:
            typer.echo(f"a mix without it, refilled from what is left: boostqa run --config {config} --from mix")

    sys.exit(pipeline.report_errors(action))


def _export(folder: str, said: dict[str, Any]) -> str:
    return f"{folder}: {len(said['shards'])} files, {said['rows']:,} rows, {said['tokens']:,} tokens"
