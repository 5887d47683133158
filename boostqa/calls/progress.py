"""Progress of a model call: rows, tokens, rate, failures and time left, from the names of the run's part files
alone."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileSystem

from boostqa.console import CONSOLE
from boostqa.running import Pace, Running, about
from udfs.files import file_system
from udfs.staging import part_counts, part_prefix

SECONDS = 10  # between two lines of a log
AGAIN_SECONDS = 60  # until a line that says nothing new is printed again
LIVE_SECONDS = 2  # between two looks for a bar on a terminal


def staged_parts(folder: str, prefix: str = "part-") -> tuple[FileSystem, list[FileInfo]]:
    """The part files in a staging folder whose names begin with `prefix`; none where there is no folder yet."""
    filesystem, path = file_system(folder)
    found = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return filesystem, [f for f in found if f.base_name.startswith(prefix)]


@contextmanager
def progress_of(folder: str, run_id: str, total: int, stage: str, running: Running) -> Iterator[None]:
    """While the body runs, tell `running` how far it is, and print a line every few seconds where there is no bar; `total`
    is the number of requests."""
    earlier = {p.base_name for p in staged_parts(folder, part_prefix(run_id))[1]}  # of an earlier call of the run
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, run_id, earlier, total, stage, running, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(
    folder: str, run_id: str, earlier: set[str], total: int, stage: str, running: Running, ended: threading.Event
) -> None:
    pace, said, at = Pace(), "", 0.0
    running.tell(**_counts(total=total))
    while not ended.wait(LIVE_SECONDS if running.bar else SECONDS):
        names = [p.base_name for p in staged_parts(folder, part_prefix(run_id))[1] if p.base_name not in earlier]
        parts = [counts for counts in map(part_counts, names) if counts]
        rows, tokens, unusable = (sum(part[i] for part in parts) for i in range(3))
        rate, left = pace.of(time.monotonic(), rows, tokens, total)
        counts = _counts(rows, total, unusable, tokens, rate, left)
        running.tell(**counts)
        if running.bar is None and (about(counts) != said or time.monotonic() - at >= AGAIN_SECONDS):
            said, at = about(counts), time.monotonic()
            CONSOLE.print(f"  {stage}: {said}", highlight=False, markup=False)
    running.tell(**_counts())  # what the stage does now is not counted


def _counts(
    rows: int = 0,
    total: int = 0,
    unusable: int = 0,
    tokens: int = 0,
    rate: float | None = None,
    left: float | None = None,
) -> dict[str, Any]:
    counts = {"rows": rows, "total": total, "unusable": unusable, "tokens": tokens}
    return counts | {"tokens_per_second": rate, "seconds_left": left}
