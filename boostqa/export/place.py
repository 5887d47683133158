"""FILE:ROW or FILE@TOKEN, a place in an exported file -> the id of the item that stands there."""

import re
from typing import Any

from boostqa.errors import ConfigError
from boostqa.export import manifest
from udfs.files import file_system
from udfs.writers import megatron
from udfs.writers.shard import WRITERS

_PLACE = re.compile(rf"(?:.*/)?(({'|'.join(WRITERS)})/(part-\d{{5}}-of-\d{{5}})\.[a-z0-9.]+)([:@])(\d+)")


def item_at(folder: str, place: str) -> str | None:
    """The draft_id, of a seed the seed_id, of what `place` names in an export's folder: a row
    (parquet/part-00000-of-00008.parquet:12), of several items the first, or, of a Megatron shard, a token
    (megatron/part-00000-of-00008.bin@4711), both from 0; a longer path is taken as the file in `folder`. None where it is no
    such place.

    Token ids name no documents: theirs are found in the Parquet or JSON Lines file of the same shard. Raises ConfigError for a
    file that the export does not have, and for a row or token past its end.
    """
    found = _PLACE.fullmatch(place)
    if not found:
        return None
    file, kind, part, number = found[1], found[2], found[3], int(found[5])
    rows = {shard["file"]: shard["rows"] for shard in (manifest.read(folder) or {}).get("shards", [])}
    if file not in rows:
        raise ConfigError(f"{place}: no such file in the export {folder}; it has {', '.join(sorted(rows)) or 'none'}")
    if (found[4] == "@") != (kind == "megatron"):
        raise ConfigError(f"{place}: write {file}{'@TOKEN' if kind == 'megatron' else ':ROW'}, counted from 0")
    target, path = file_system(folder)
    within = 0  # token of the document
    if kind == "megatron":
        named = [name for name in (f"parquet/{part}.parquet", f"jsonl/{part}.jsonl.zst") if name in rows]
        if not named:
            raise ConfigError(f"{place}: token ids name no documents, and the export has no parquet or jsonl that does")
        with target.open_input_file(f"{path}/{kind}/{part}.idx") as index:
            document = megatron.document_at(index, number)
        if document is None:
            raise ConfigError(f"{place}: the file ends before that token")
        file, number, within = named[0], *document
    with target.open_input_file(f"{path}/{file}") as source:
        row = _writer(file).row(source, number)
    if row is None:
        raise ConfigError(f"{place}: the file has {rows[file]} rows, 0 to {rows[file] - 1}")
    if "document_id" not in row:
        return str(row["draft_id"])  # of an export of an earlier release
    began = sum(s["part"] == "question" and s["token_start"] <= within for s in row["spans"])
    return str(row["draft_ids"][max(began, 1) - 1] if row["draft_ids"] else row["document_id"])


def _writer(file: str) -> Any:
    return WRITERS[file.partition("/")[0]]
