"""Files of a source that Spark passes over without a word, though they stand in its folder."""

import os
import re
from collections.abc import Iterator

from udfs.files import matches

_HIDDEN = ("_", ".")  # what begins so is none of a source's files, for Spark as for others


def passed_over(path: str, endings: tuple[str, ...], recursive: bool) -> list[str]:
    """Local files of a source's path that a JVM leaves out of its listing: names that are no UTF-8, links that lead
    nowhere. Those whose names do not end in one of `endings` do not count; below a folder those of partitions (a=b) do, and
    where `recursive` those of all folders. None for URIs and for patterns that only Spark knows."""
    found = matches(re.sub("^file:/+", "/", path)) or []
    files = [f for f in found if not os.path.isdir(f)]
    files += [f for folder in found if os.path.isdir(folder) for f in _below(folder, recursive)]
    return sorted(ascii(f)[1:-1] for f in files if f.endswith(endings or "") and _is_passed_over(f))


def _below(folder: str, recursive: bool) -> Iterator[str]:
    for at, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(_HIDDEN) and (recursive or "=" in f)]
        yield from (os.path.join(at, f) for f in files if not f.startswith(_HIDDEN))


def _is_passed_over(file: str) -> bool:
    # A byte that is no UTF-8 is half a surrogate pair in Python's names.
    return not os.path.exists(file) or any("\udc80" <= c <= "\udcff" for c in file)
