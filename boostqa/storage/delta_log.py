"""The log of a Delta table in a folder or URI, listed by name: Delta's own history() is a Spark job."""

import re

from pyarrow import fs

from udfs.files import file_system

_COMMIT = re.compile(r"\d{20}\.json")
LATEST = 50  # commits among which a write looks for its own


def commits(table: str) -> dict[int, str]:
    """Version -> file of the commit, the latest first; empty where there is no table."""
    files, folder = file_system(f"{table}/_delta_log")
    found = files.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return {
        int(i.base_name[:20]): i.path
        for i in sorted(found, key=lambda i: i.base_name, reverse=True)
        if _COMMIT.fullmatch(i.base_name)
    }


def version_that_says(table: str, words: str) -> int | None:
    """The version, of the latest, whose commit holds the words."""
    files, _ = file_system(table)
    for version, path in list(commits(table).items())[:LATEST]:
        with files.open_input_stream(path) as commit:
            if words.encode() in commit.read():
                return version
    return None
