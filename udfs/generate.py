"""requests -> completions, streaming, whatever the engine: the function that mapInPandas runs.

A sliding window of requests is in flight across Arrow batches, bounded by predicted tokens and refilled as rows finish.
Finished rows are flushed from inside the task as Parquet part files under a staging folder (a task's own output commits
only when the task ends); the driver takes them into the ledger. The task returns one row of figures.
"""

import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from pyspark import TaskContext

from udfs.files import file_system

FIGURES = "engine_starts long, completed long, failed long, prompt_tokens long, generated_tokens long, seconds double"
CHARACTERS_PER_TOKEN = 3  # for the window only; the engine counts exactly before it accepts


class Engine(Protocol):
    """What generate needs of an engine: client.EngineClient, or a fake in tests."""

    started: bool

    def submit(self, request: dict[str, Any]) -> None:
        """Send one request."""

    def poll(self, timeout: float) -> list[dict[str, Any]]:
        """Completions that arrived within `timeout` seconds."""
        ...

    def kill(self) -> None:
        """End an engine that answers no more."""

    def close(self) -> None:
        """Leave the engine to others."""


class Staging:
    """Part files of finished rows; one that is not complete has no Parquet footer and is ignored."""

    def __init__(self, folder: str, schema: pa.Schema, rows: int, seconds: float) -> None:
        self.filesystem, self.folder = file_system(folder)
        self.filesystem.create_dir(self.folder, recursive=True)
        self.schema, self.rows, self.seconds = schema, rows, seconds
        self.pending: list[dict[str, Any]] = []
        self.flushed = time.monotonic()

    def request_ids(self) -> set[str]:
        """Requests that are staged already."""
        parts = self.filesystem.get_file_info(pa.fs.FileSelector(self.folder))
        tables = (
            pq.read_table(p.path, columns=["request_id"], filesystem=self.filesystem)
            for p in parts
            if p.base_name.startswith("part-")
        )
        return {request_id for table in tables for request_id in table.column("request_id").to_pylist()}

    def add(self, row: dict[str, Any]) -> None:
        """Keep a COMPLETION row for the next flush."""
        self.pending.append(row)

    def flush(self, force: bool = False) -> None:
        """Write the pending rows when there are enough, when they are old enough, or when forced."""
        due = len(self.pending) >= self.rows or time.monotonic() - self.flushed >= self.seconds
        if self.pending and (force or due):
            # The name carries the counts, so that the driver shows progress from a listing alone.
            tokens = sum(r["generated_tokens"] for r in self.pending)
            name = f"part-{uuid.uuid4().hex}-r{len(self.pending)}-t{tokens}.parquet"
            table = pa.Table.from_pylist(self.pending, schema=self.schema)
            # Under its name only when whole. Where a move is a copy (object stores) the copy appears whole, too.
            with self.filesystem.open_output_stream(f"{self.folder}/new-{name}") as sink:
                pq.write_table(table, sink, compression="zstd")
            self.filesystem.move(f"{self.folder}/new-{name}", f"{self.folder}/{name}")
            self.pending = []
        if due or force:
            self.flushed = time.monotonic()


def _message(row: dict[str, Any]) -> dict[str, Any]:
    """A REQUEST row as the engine takes it."""
    message = {
        "request_id": row["request_id"],
        "prompt": row["prompt"],
        "sampling": json.loads(row["sampling"]),
        "structured": json.loads(row["structured"]) if row["structured"] else None,
    }
    if row["continuation"] is not None:
        message["continuation"] = row["continuation"]
    return message


class Window:
    """Requests in flight on one engine at a time; a dead engine is replaced and what it had is sent again.

    A request whose `max_attempts`-th attempt is due is sent alone: if the engine dies once more, it is the cause and
    fails; its neighbours of earlier deaths do not.
    """

    def __init__(self, connect: Callable[[], Engine], staging: Staging, settings: dict[str, Any]) -> None:
        self.connect, self.staging, self.settings = connect, staging, settings
        self.engine: Engine | None = None
        self.flight: dict[str, tuple[dict[str, Any], int, int]] = {}  # request_id -> (row, cost, attempts begun)
        self.unsent: deque[str] = deque()
        self.cost = 0
        self.progressed = time.monotonic()
        self.figures = dict.fromkeys(("engine_starts", "completed", "failed", "prompt_tokens", "generated_tokens"), 0)

    def add(self, row: dict[str, Any]) -> None:
        """Send a row, first waiting until its predicted tokens fit the window."""
        cost = len(row["prompt"]) // CHARACTERS_PER_TOKEN + int(json.loads(row["sampling"])["max_tokens"])
        while self.flight and self.cost + cost > self.settings["tokens_in_flight"]:
            self.take(1.0)
        self.flight[row["request_id"]] = (row, cost, 0)
        self.unsent.append(row["request_id"])
        self.cost += cost
        self._drive()

    def take(self, timeout: float) -> None:
        """Take what finished into staging."""
        for result in self._drive(timeout):
            if result["request_id"] in self.flight:
                self._finish(result.pop("request_id"), result)
        self.staging.flush()

    def _send(self, engine: Engine) -> None:
        last = self.settings["max_attempts"] - 1
        while self.unsent:
            row, cost, attempts = self.flight[self.unsent[0]]
            alone = 0 < attempts >= last
            if alone and len(self.flight) > len(self.unsent):
                return  # others are with the engine
            self.flight[self.unsent.popleft()] = (row, cost, attempts + 1)
            engine.submit(_message(row))
            if alone:
                return

    def _drive(self, timeout: float | None = None) -> list[dict[str, Any]]:
        """Send what is unsent, then wait up to `timeout` seconds for completions; none when the engine died.

        Raises EngineDied when no engine can be started.
        """
        from udfs.engines.client import EngineDied

        if self.engine is None:
            self.engine = self.connect()
            self.figures["engine_starts"] += self.engine.started
            self.progressed = time.monotonic()
        try:
            self._send(self.engine)
            results = self.engine.poll(timeout) if timeout is not None else []
            if results or not self.flight:
                self.progressed = time.monotonic()
            elif timeout is not None and time.monotonic() - self.progressed > self.settings["stall_seconds"]:
                self.engine.kill()
                raise EngineDied(f"no completion for {self.settings['stall_seconds']:.0f} s")
            return results
        except EngineDied as error:
            self._bury(str(error))
            return []

    def _bury(self, cause: str) -> None:
        assert self.engine is not None
        self.engine.close()
        self.engine = None
        sent = [request_id for request_id in self.flight if request_id not in set(self.unsent)]
        for request_id in sent:
            if self.flight[request_id][2] >= self.settings["max_attempts"]:
                self._finish(request_id, {"finish_reason": "failed", "error": f"engine_died: {cause}"})
        self.unsent = deque(self.flight)

    def _finish(self, request_id: str, result: dict[str, Any]) -> None:
        row, cost, attempts = self.flight.pop(request_id)
        self.cost -= cost
        numbers = {"prompt_tokens": 0, "generated_tokens": 0, "thinking_tokens": 0, "cached_tokens": 0}
        usual = numbers | {"text": "", "error": None, "logprob": None, "choice_logprobs": None, "engine_seconds": 0.0}
        done = {"attempts": attempts, "run_id": self.settings["run_id"], "finished_at": datetime.now(UTC)}
        self.staging.add({**row, **usual, **result, **done})
        self.figures["failed" if result["finish_reason"] in ("refused", "failed") else "completed"] += 1
        for name in ("prompt_tokens", "generated_tokens"):
            self.figures[name] += result.get(name, 0)


def _is_retry() -> bool:
    context = TaskContext.get()
    return context is not None and context.attemptNumber() > 0


def generate(
    batches: Iterable[pd.DataFrame], settings: dict[str, Any], connect: Callable[[dict[str, Any]], Engine] | None = None
) -> Iterator[pd.DataFrame]:
    """Complete every request of the partition; yields one row of FIGURES.

    `batches`: REQUEST columns of boostqa.schemas. `settings`: model, revision, engine, env, idle_seconds, start_seconds
    (client.py) and staging, schema (serialised Arrow schema of COMPLETION), flush_rows, flush_seconds,
    tokens_in_flight, max_attempts, stall_seconds, run_id. Raises EngineDied when no engine can be started.
    """
    if connect is None:
        from udfs.engines.client import EngineClient

        connect = EngineClient
    schema = pa.ipc.read_schema(pa.BufferReader(settings["schema"]))
    staging = Staging(settings["staging"], schema, settings["flush_rows"], settings["flush_seconds"])
    window = Window(lambda: connect(settings), staging, settings)
    paid = staging.request_ids() if _is_retry() else set()  # by the attempt that died
    began = time.monotonic()
    try:
        for batch in batches:
            for row in batch[~batch["request_id"].isin(paid)].to_dict("records"):
                window.add({str(name): None if pd.isna(value) else value for name, value in row.items()})
        while window.flight:
            window.take(1.0)
    finally:
        staging.flush(force=True)
        if window.engine is not None:
            window.engine.close()
    yield pd.DataFrame([window.figures | {"seconds": time.monotonic() - began}])
