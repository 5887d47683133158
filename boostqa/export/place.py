"""SHARD:ROW, a row of an exported file -> the id of its item."""

import re

from boostqa.errors import ConfigError
from boostqa.export import manifest
from udfs.files import file_system
from udfs.writers.shard import WRITERS

_PLACE = re.compile(rf"(?:.*/)?(({'|'.join(WRITERS)})/part-\d{{5}}-of-\d{{5}}\.[a-z.]+):(\d+)")


def item_at(folder: str, place: str) -> str | None:
    """The draft_id of the row that `place` names, such as parquet/part-00000-of-00008.parquet:12 (rows from 0; a longer path
    is taken as the file in `folder`, an export's); None where it is no such place.

    Raises ConfigError for a file that the export does not have, and for a row past its end.
    """
    found = _PLACE.fullmatch(place)
    if not found:
        return None
    file, kind, number = found[1], found[2], int(found[3])
    if not hasattr(WRITERS[kind], "row"):
        raise ConfigError(
            f"{place}: {kind} names no items; the row of the same number in parquet or jsonl is the same one"
        )
    said = manifest.read(folder)
    rows = {shard["file"]: shard["rows"] for shard in (said or {}).get("shards", [])}
    if file not in rows:
        raise ConfigError(f"{place}: no such file in the export {folder}; it has {', '.join(sorted(rows)) or 'none'}")
    target, path = file_system(folder)
    with target.open_input_file(f"{path}/{file}") as source:
        row = WRITERS[kind].row(source, number)
    if row is None:
        raise ConfigError(f"{place}: the file has {rows[file]} rows, 0 to {rows[file] - 1}")
    return str(row["draft_id"])
