"""The files of an export held against its manifest; needs no Spark and no warehouse."""

import hashlib

from pyarrow import fs

from boostqa.export import manifest
from udfs.files import file_system


def differences(folder: str) -> list[str]:
    """How the files in an export's folder (local or URI) differ from its manifest, a sentence each, in the order of the
    files; empty: they are those that were exported.

    Every byte is read. Raises ConfigError where there is no manifest: that is no finished export.
    """
    said = manifest.required(folder)
    target, path = file_system(folder)
    wanted = manifest.digests(said)
    sizes = {shard["file"]: shard["bytes"] for shard in said["shards"]}
    found = [_difference(target, f"{path}/{file}", file, sizes.get(file), sha) for file, sha in sorted(wanted.items())]
    here = (info.path.removeprefix(f"{path}/") for info in target.get_file_info(fs.FileSelector(path, recursive=True)))
    stray = (file for file in sorted(here) if file not in wanted and manifest.SHARD_FILE.fullmatch(file))
    return [*filter(None, found), *(f"{file}: the manifest does not name it" for file in stray)]


def _difference(target: fs.FileSystem, place: str, file: str, size: int | None, sha256: str) -> str | None:
    info = target.get_file_info(place)
    if info.type != fs.FileType.File:
        return f"{file}: missing"
    if size is not None and info.size != size:
        return f"{file}: {info.size:,} bytes, exported were {size:,}"
    with target.open_input_stream(place, compression=None) as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return None if digest == sha256 else f"{file}: sha256 {digest[:16]}, exported was {sha256[:16]}"
