"""What the end of a run said of the tables, kept beside them: where no table was written since it is what they say now, and
`boostqa status` shows it without Spark, whose start and first query take longer than all the rest."""

import json
from contextlib import suppress
from typing import Any

from boostqa.schemas import TABLES
from boostqa.storage import delta_log
from boostqa.storage.catalog import place_of
from udfs.files import file_system, write_text

FILE = "_status.json"
Versions = dict[str, int | None]


def versions(location: str, ledger: str | None) -> Versions | None:
    """Table -> latest version (null: not there); None of a warehouse or ledger in a catalog, whose logs are not ours to list."""
    warehouse = place_of(location)
    places = {name: warehouse.table(name) for name in TABLES} | ({"completion": place_of(ledger)} if ledger else {})
    if any(place.names for place in places.values()):
        return None
    return {name: next(iter(delta_log.commits(place.path)), None) for name, place in places.items()}


def keep(location: str, at: Versions | None, facts: dict[str, Any]) -> None:
    """Keep what was collected from the tables; `at` are the versions from before that."""
    if at is not None:
        with suppress(OSError):  # a warehouse that may only be read
            write_text(_place(location), json.dumps({"versions": at, "facts": facts}))


def kept(location: str, ledger: str | None) -> dict[str, Any] | None:
    """What `keep` was given, if every table is at the version that it was at; else None."""
    now = versions(location, ledger)
    if now is None:
        return None
    files, path = file_system(_place(location))
    try:
        with files.open_input_stream(path) as file:
            said = json.loads(file.read())
    except (OSError, ValueError):
        return None
    return said["facts"] if said["versions"] == now else None


def _place(location: str) -> str:
    return f"{place_of(location)}/{FILE}"
