"""Progress of a model call: rows, tokens, rate, failures and time left, from the names of the run's part files
alone."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyarrow.fs import FileInfo, FileSelector, FileSystem

from boostqa.console import CONSOLE
from udfs.files import file_system
from udfs.staging import part_counts, part_prefix

SECONDS = 10  # between two lines


def staged_parts(folder: str, prefix: str = "part-") -> tuple[FileSystem, list[FileInfo]]:
    """The part files in a staging folder whose names begin with `prefix`; none where there is no folder yet."""
    filesystem, path = file_system(folder)
    found = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return filesystem, [f for f in found if f.base_name.startswith(prefix)]


@contextmanager
def progress_lines(folder: str, run_id: str, total: int, stage: str) -> Iterator[None]:
    """Print a line every few seconds while the body runs; `total` is the number of requests."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, run_id, total, stage, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(folder: str, run_id: str, total: int, stage: str, ended: threading.Event) -> None:
    began = time.monotonic()
    earlier = {p.base_name for p in staged_parts(folder, part_prefix(run_id))[1]}  # of an earlier call of the run
    while not ended.wait(SECONDS):
        names = [p.base_name for p in staged_parts(folder, part_prefix(run_id))[1] if p.base_name not in earlier]
        parts = [counts for counts in map(part_counts, names) if counts]
        rows, tokens, unusable = (sum(part[i] for part in parts) for i in range(3))
        seconds = time.monotonic() - began
        if rows:
            left = (total - rows) * seconds / rows
            CONSOLE.print(
                f"  {stage}: {rows}/{total} completions ({unusable} failed), {tokens} tokens, {tokens / seconds:.0f} "
                f"tokens/s, about {left:.0f} s left"
            )
        else:
            CONSOLE.print(f"  {stage}: engine starting or first rows in flight, {total} requests ({seconds:.0f} s)")
