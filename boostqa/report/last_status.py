"""What the end of a run said of the tables, kept beside them: where no table was written since it is what they say now, and
`boostqa status` shows it without Spark, whose start and first query take longer than all the rest."""

import json
import re
from contextlib import suppress
from typing import Any

from pyarrow import fs

from boostqa.schemas import TABLES
from boostqa.storage.warehouse import absolute, is_catalog
from udfs.files import file_system, write_text

FILE = "_status.json"
_COMMIT = re.compile(r"^(\d{20})\.json$")
Versions = dict[str, int | None]


def version_of(path: str) -> int | None:
    """The latest version of the Delta table in a folder or URI, from the names in its log; None where there is none."""
    files, folder = file_system(path)
    found = files.get_file_info(fs.FileSelector(f"{folder}/_delta_log", allow_not_found=True))
    return max((int(m[1]) for info in found if (m := _COMMIT.match(info.base_name))), default=None)


def versions(location: str, ledger: str | None) -> Versions | None:
    """Table -> latest version (null: not there); None of a warehouse or ledger in a catalog, whose logs are not ours to list."""
    if is_catalog(location) or (ledger and is_catalog(ledger)):
        return None
    paths = {name: f"{absolute(location.rstrip('/'))}/{name}" for name in TABLES}
    paths |= {"completion": absolute(ledger.rstrip("/"))} if ledger else {}
    return {name: version_of(path) for name, path in paths.items()}


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
    return f"{absolute(location.rstrip('/'))}/{FILE}"
