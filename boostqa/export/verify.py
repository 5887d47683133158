"""The files of an export held against its manifest; needs no Spark and no warehouse."""

import hashlib
from typing import Any

from pyarrow import fs

from boostqa.errors import ConfigError
from boostqa.export import manifest
from boostqa.export.card import CARD
from udfs.files import file_system


def differences(folder: str) -> list[str]:
    """How the files in an export's folder (local or URI) differ from its manifest, a sentence each, in the order of the
    files; empty: they are those that were exported.

    Every byte is read. Raises ConfigError where there is no manifest: that is no finished export.
    """
    said = manifest.read(folder)
    if not said:
        raise ConfigError(
            f"{folder}: no {manifest.MANIFEST} that can be read, so this is no finished export: name the folder with that "
            "file (`output` of the conf, then /mix), or export again: boostqa run"
        )
    target, path = file_system(folder)
    wanted = {shard["file"]: shard["sha256"] for shard in said["shards"]}
    if "card" in said:  # an earlier release did not name it
        wanted[CARD] = said["card"]
    sizes = {shard["file"]: shard["bytes"] for shard in said["shards"]}
    found = [_difference(target, f"{path}/{file}", file, sizes.get(file), sha) for file, sha in sorted(wanted.items())]
    here = (info.path.removeprefix(f"{path}/") for info in target.get_file_info(fs.FileSelector(path, recursive=True)))
    stray = (f"{file}: the manifest does not name it" for file in sorted(here) if _is_shard(file, wanted))
    return [text for text in found if text] + list(stray)


def _is_shard(file: str, wanted: dict[str, Any]) -> bool:
    return file not in wanted and manifest.SHARD_FILE.fullmatch(file) is not None


def _difference(target: fs.FileSystem, place: str, file: str, size: int | None, sha256: str) -> str | None:
    info = target.get_file_info(place)
    if info.type != fs.FileType.File:
        return f"{file}: missing"
    if size is not None and info.size != size:
        return f"{file}: {info.size:,} bytes, exported were {size:,}"
    with target.open_input_stream(place, compression=None) as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return None if digest == sha256 else f"{file}: sha256 {digest[:16]}, exported was {sha256[:16]}"
