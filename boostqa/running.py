"""Where a run stands: one live bar on a terminal, and a small file beside the tables for other processes to read.

The file is written again every few seconds while a stage runs, on any file system. A stage that failed stands in it with
its reason until it runs again. A run that was killed leaves the file as it was last: its age tells.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from boostqa.console import CONSOLE
from boostqa.errors import first_line
from udfs.files import file_system, write_text

FILE = "_progress.json"
RENEW_SECONDS = 5.0
SILENT_SECONDS = 60.0  # without a sign of life, after which a run is taken for dead
BASIS_SECONDS, BASIS_ROWS = 20.0, 20  # of answers seen, before which nothing is said of what is left
Row = dict[str, Any]


class Pace:
    """How fast answers come since the first ones were seen: what an engine takes to start is not in it."""

    def __init__(self) -> None:
        self.first: tuple[float, int, int] | None = None

    def of(self, at: float, rows: int, tokens: int, total: int) -> tuple[float | None, float | None]:
        """(tokens per second, seconds left) by a clock `at` in seconds; nulls before there is a basis."""
        if rows and self.first is None:
            self.first = at, rows, tokens
        began, rows_then, tokens_then = self.first or (at, rows, tokens)
        seconds, more = at - began, rows - rows_then
        if seconds < BASIS_SECONDS or more < BASIS_ROWS:
            return None, None
        return (tokens - tokens_then) / seconds, (total - rows) * seconds / more


class Running:
    """What a run tells of itself. `folder` (or URI) is where its file lies; None: nowhere, as in a preview."""

    def __init__(self, folder: str | None = None, run_id: str = "") -> None:
        self.folder, self.run_id = folder, run_id
        self.done: list[str] = []  # a line for each stage that this run has been through
        self.failed: dict[str, Row] = ((read(folder) or {}).get("failed") or {}) if folder else {}
        self.now: Row | None = None
        self.bar: Progress | None = None
        self._writing = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """While a stage runs; how it failed stays in the file until it runs again."""
        self.failed.pop(name, None)
        self.now = {"stage": name, "since": time.time()}
        ended = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        renewal.start()
        try:
            with self._live(name):
                yield
        except BaseException as error:
            why = first_line(error) or "stopped"
            self.failed[name] = {"run_id": self.run_id, "at": time.time(), "why": f"{type(error).__name__}: {why}"}
            raise
        finally:
            ended.set()
            self.now = None
            renewal.join(timeout=10)
            self._write()

    def tell(self, **counts: Any) -> None:
        """Rows, total, unusable, tokens, tokens_per_second and seconds_left of the call that the stage is in."""
        if self.now is None:
            return
        self.now = self.now | counts
        if self.bar is not None:
            self.bar.update(
                self.bar.task_ids[0], completed=counts["rows"], total=counts["total"] or None, about=about(counts)
            )

    @contextmanager
    def _live(self, name: str) -> Iterator[None]:
        """The bar, where people look; a log and a terminal that cannot move its cursor have lines instead (calls/progress.py)."""
        if not CONSOLE.is_terminal or CONSOLE.is_dumb_terminal:
            yield
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[about]}"))
        with Progress(*columns, TimeElapsedColumn(), console=CONSOLE, transient=True) as self.bar:
            self.bar.add_task(name, total=None, about="")
            yield
        self.bar = None

    def _renew(self, ended: threading.Event) -> None:
        self._write()
        while not ended.wait(RENEW_SECONDS):
            self._write()

    def _write(self) -> None:
        if self.folder is None:
            return
        said = {"run_id": self.run_id, "at": time.time(), "now": self.now, "done": self.done, "failed": self.failed}
        with self._writing, suppress(OSError):  # a store that is away for a moment: the run goes on
            write_text(f"{self.folder.rstrip('/')}/{FILE}", json.dumps(said))


def about(counts: Row) -> str:
    """What is known of a call, in a few words: "120 of 358 requests, 85 tokens/s, about 40 s left"."""
    if not counts.get("total"):
        return ""
    parts = [f"{counts['rows']} of {counts['total']} requests"]
    if counts["unusable"]:
        parts.append(f"{counts['unusable']} failed")
    if not counts["rows"]:
        parts.append("the engine starts, or first answers are under way")
    if counts["tokens_per_second"] is not None:
        parts += [f"{counts['tokens_per_second']:.0f} tokens/s", f"about {_span(counts['seconds_left'])} left"]
    return ", ".join(parts)


def _span(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 2 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def read(folder: str) -> Row | None:
    """What the last run in a folder or URI says: run_id, `now` (stage, since and what `tell` was told; null between stages and
    at the end), `done` (a line for each stage it has been through), `failed` (stage -> run_id, at, why), `silent`: seconds since its last sign of life. None where no run told."""
    try:
        files, path = file_system(folder)
        with files.open_input_stream(f"{path}/{FILE}") as file:
            said: Row = json.loads(file.read())
    except (OSError, ValueError):  # no file, or one that is just being written
        return None
    return said | {"silent": max(0.0, time.time() - said["at"])}


def is_alive(said: Row | None) -> bool:
    """Whether what `read` found is of a run that is in a stage and gave a sign of life."""
    return bool(said and said["now"] and said["silent"] <= SILENT_SECONDS)


def lines(said: Row | None) -> list[str]:
    """What `read` found, for people: the stage that runs, those that failed and why."""
    if said is None:
        return []
    told = []
    if now := said["now"]:
        told += said["done"]
        line = f"run {said['run_id']}: {now['stage']} for {_span(time.time() - now['since'])}"
        if counted := about(now):
            line += f": {counted}"
        if not is_alive(said):
            line += f"; no sign of life for {_span(said['silent'])}: it was killed, or its machine is gone"
        told.append(line)
    for stage, failure in said["failed"].items():
        at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(failure["at"]))
        told.append(f"failed: {stage} in run {failure['run_id']} ({at}): {failure['why']}")
    return told
