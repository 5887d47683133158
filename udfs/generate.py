"""requests -> completions, streaming, whatever the engine: the function that mapInPandas runs.

A sliding window of requests is in flight across Arrow batches, bounded by predicted tokens and refilled as rows finish.
Finished rows are flushed from inside the task as Parquet part files under a staging folder (a task's own output commits
only when the task ends); the driver takes them into the ledger. The task returns one row of figures.
"""

import json
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from pyspark import TaskContext

from udfs.engines.client import EngineClient, EngineDied, EngineUnusable, gpu_addresses
from udfs.files import file_system

COUNTS = (
    "engine_starts", "completed", "failed", "prompt_tokens", "cached_tokens", "generated_tokens", "thinking_tokens",
    "retry_tokens",
)  # fmt: skip
FIGURES = (
    "partition int, executor string, gpus string, "
    + ", ".join(f"{name} long" for name in COUNTS)
    + ", began double, ended double, idle_seconds double"
)
CHARACTERS_PER_TOKEN = 3  # for predictions only; the engine counts exactly before it accepts
LEARNED_FROM = 32  # finished requests after which the window trusts their length instead of max_tokens
UNUSABLE = ("refused", "failed")  # finish reasons without a completion
EMPTY: dict[str, Any] = dict.fromkeys(("prompt_tokens", "generated_tokens", "thinking_tokens", "cached_tokens"), 0) | {
    "text": "", "error": None, "logprob": None, "choice_logprobs": None, "engine_seconds": 0.0,
}  # fmt: skip


class Engine(Protocol):
    """What generate needs of an engine: EngineClient, OpenAIEngine, or a fake in tests."""

    started: bool  # whether connecting started an engine
    progress: int  # grows as long as the engine works
    in_flight_tokens: int  # tokens that the unfinished requests of this client have so far

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
    """Part files of finished rows. One that was cut off has no Parquet footer: it is no part, wherever it lies.

    Nothing is renamed: on object stores a file appears when it is closed, elsewhere its footer comes last. The name
    tells run and partition, so that a retried task finds what its predecessor finished, and the counts, so that the
    driver shows progress from a listing alone and knows whether it has read the whole part.
    """

    def __init__(self, folder: str, prefix: str, schema: pa.Schema, rows: int, seconds: float) -> None:
        self.filesystem, self.folder = file_system(folder)
        self.filesystem.create_dir(self.folder, recursive=True)
        self.prefix, self.schema, self.rows, self.seconds = prefix, schema, rows, seconds
        self.pending: list[dict[str, Any]] = []
        self.flushed = time.monotonic()

    def request_ids(self) -> set[str]:
        """Requests of this partition that are staged already, by an attempt that died."""
        found: set[str] = set()
        for part in self.filesystem.get_file_info(pa.fs.FileSelector(self.folder)):
            if part.base_name.startswith(self.prefix):
                try:
                    table = pq.read_table(part.path, columns=["request_id"], filesystem=self.filesystem)
                    found.update(table.column("request_id").to_pylist())
                except (pa.ArrowInvalid, FileNotFoundError):
                    continue  # cut off, or taken into the ledger by another driver meanwhile
        return found

    def add(self, row: dict[str, Any]) -> None:
        """Keep a COMPLETION row for the next flush."""
        self.pending.append(row)

    def flush(self, force: bool = False) -> None:
        """Write the pending rows when there are enough, when they are old enough, or when forced."""
        due = len(self.pending) >= self.rows or time.monotonic() - self.flushed >= self.seconds
        if self.pending and (force or due):
            tokens = sum(r["generated_tokens"] for r in self.pending)
            unusable = sum(r["finish_reason"] in UNUSABLE for r in self.pending)
            name = f"{self.prefix}{uuid.uuid4().hex}-r{len(self.pending)}-t{tokens}-f{unusable}.parquet"
            table = pa.Table.from_pylist(self.pending, schema=self.schema)
            with self.filesystem.open_output_stream(f"{self.folder}/{name}") as sink:
                pq.write_table(table, sink, compression="zstd")
            self.pending = []
        if due or force:
            self.flushed = time.monotonic()


def part_prefix(run_id: str, partition: int | None = None) -> str:
    """How the names of a run's part files begin, or those of one partition."""
    return f"part-{run_id}-" + ("" if partition is None else f"{partition}-")


class Flight(NamedTuple):
    """A request on its way: the REQUEST row, its message, predicted prompt tokens, output limit, attempts begun."""

    row: dict[str, Any]
    message: dict[str, Any]
    prompt_tokens: int
    max_tokens: int
    attempts: int


def _flight(row: dict[str, Any]) -> Flight:
    sampling = json.loads(row["sampling"])
    message = {"request_id": row["request_id"], "prompt": row["prompt"], "sampling": sampling}
    if row["structured"]:
        message["structured"] = json.loads(row["structured"])
    if row["continuation"] is not None:
        message["continuation"] = row["continuation"]
    return Flight(row, message, len(row["prompt"]) // CHARACTERS_PER_TOKEN, int(sampling["max_tokens"]), 0)


class Window:
    """Requests in flight on one engine at a time; a dead engine is replaced and what it had is sent again.

    Tokens in flight are predicted: prompts by their characters, outputs by their limit times the share of it that
    finished requests used. A request whose `max_attempts`-th attempt is due is sent alone: if the engine dies once more,
    it is the cause and fails; its neighbours of earlier deaths do not.
    """

    def __init__(self, connect: Callable[[], Engine], staging: Staging, settings: dict[str, Any]) -> None:
        self.connect, self.staging, self.settings = connect, staging, settings
        self.engine: Engine | None = None
        self.flight: dict[str, Flight] = {}
        self.unsent: deque[str] = deque()
        self.prompt_tokens = self.max_tokens = 0  # of the requests in flight
        self.finished = self.finished_tokens = self.finished_max_tokens = 0
        self.progress, self.progressed = 0, time.monotonic()
        self.figures = dict.fromkeys(COUNTS, 0)
        self.idle_seconds = 0.0

    def add(self, row: dict[str, Any]) -> None:
        """Send a row, first waiting until its predicted tokens fit the window."""
        flight = _flight(row)
        while self.flight and self._predicted(flight) > self.settings["tokens_in_flight"]:
            self.take(1.0)
        self.flight[row["request_id"]] = flight
        self.unsent.append(row["request_id"])
        self.prompt_tokens += flight.prompt_tokens
        self.max_tokens += flight.max_tokens
        self._drive()

    def drain(self) -> None:
        """Take all that is in flight; counts as idle the share of the engine that has nothing to do any more."""
        width = max(1, min(len(self.flight), int(self.settings["engine"].get("args", {}).get("max_num_seqs", 256))))
        while self.flight:
            began, busy = time.monotonic(), min(1.0, len(self.flight) / width)
            self.take(1.0)
            self.idle_seconds += (1 - busy) * (time.monotonic() - began)

    def take(self, timeout: float) -> None:
        """Take what finished into staging."""
        for result in self._drive(timeout):
            if result["request_id"] in self.flight:
                self._finish(result.pop("request_id"), result)
        self.staging.flush()

    def _predicted(self, new: Flight) -> float:
        used = 1.0
        if self.finished >= LEARNED_FROM:
            used = self.finished_tokens / max(1, self.finished_max_tokens)
        return self.prompt_tokens + new.prompt_tokens + used * (self.max_tokens + new.max_tokens)

    def _send(self, engine: Engine) -> None:
        last = self.settings["max_attempts"] - 1
        while self.unsent:
            flight = self.flight[self.unsent[0]]
            alone = 0 < flight.attempts >= last
            if alone and len(self.flight) > len(self.unsent):
                return  # others are with the engine
            self.flight[self.unsent.popleft()] = flight._replace(attempts=flight.attempts + 1)
            engine.submit(flight.message)
            if alone:
                return

    def _drive(self, timeout: float | None = None) -> list[dict[str, Any]]:
        """Send what is unsent, then wait up to `timeout` seconds for completions; none when the engine died.

        Raises EngineDied when no engine can be started, or none would do.
        """
        if self.engine is None:
            self.engine = self.connect()
            self.figures["engine_starts"] += self.engine.started
            self.progressed = time.monotonic()
        try:
            self._send(self.engine)
            results = self.engine.poll(timeout) if timeout is not None else []
            if results or not self.flight or self.engine.progress != self.progress:
                self.progress, self.progressed = self.engine.progress, time.monotonic()
            elif timeout is not None and time.monotonic() - self.progressed > self.settings["stall_seconds"]:
                self.engine.kill()
                raise EngineDied(f"no token for {self.settings['stall_seconds']:.0f} s")
            return results
        except EngineUnusable:
            raise
        except EngineDied as error:
            self._bury(str(error))
            return []

    def _bury(self, cause: str) -> None:
        assert self.engine is not None
        self.figures["retry_tokens"] += self.engine.in_flight_tokens
        self.engine.close()
        self.engine = None
        waiting = set(self.unsent)
        for request_id in [r for r in self.flight if r not in waiting]:
            if self.flight[request_id].attempts >= self.settings["max_attempts"]:
                self._finish(request_id, {"finish_reason": "failed", "error": f"engine_died: {cause}"})
        self.unsent = deque(self.flight)

    def _finish(self, request_id: str, result: dict[str, Any]) -> None:
        flight = self.flight.pop(request_id)
        self.prompt_tokens -= flight.prompt_tokens
        self.max_tokens -= flight.max_tokens
        done = {"attempts": flight.attempts, "run_id": self.settings["run_id"], "finished_at": datetime.now(UTC)}
        if "text" in result:  # a served model may send half a surrogate pair, which no table holds
            result["text"] = result["text"].encode("utf-8", "replace").decode("utf-8")
        self.staging.add({**flight.row, **EMPTY, **result, **done})
        self.finished += 1
        self.finished_tokens += result.get("generated_tokens", 0)
        self.finished_max_tokens += flight.max_tokens
        self.figures["failed" if result["finish_reason"] in UNUSABLE else "completed"] += 1
        for name in ("prompt_tokens", "cached_tokens", "generated_tokens", "thinking_tokens"):
            self.figures[name] += result.get(name, 0)


def _connect(settings: dict[str, Any]) -> Engine:
    if settings["endpoint"]:
        from udfs.engines.openai_engine import OpenAIEngine

        return OpenAIEngine(settings)
    return EngineClient(settings)


def generate(
    batches: Iterable[pd.DataFrame], settings: dict[str, Any], connect: Callable[[dict[str, Any]], Engine] | None = None
) -> Iterator[pd.DataFrame]:
    """Complete every request of the partition; yields one row of FIGURES.

    `batches`: REQUEST columns of boostqa.schemas. `settings`: model, revision, engine, env, idle_seconds, start_seconds,
    resident_engines (client.py), endpoint (openai_engine.py; null: vLLM in the worker) and staging, schema (serialised
    Arrow schema of COMPLETION), flush_rows, flush_seconds, tokens_in_flight, max_attempts, stall_seconds, run_id. Raises
    EngineDied when no engine can be started.
    """
    make = connect or _connect
    context = TaskContext.get()
    partition = context.partitionId() if context else 0
    schema = pa.ipc.read_schema(pa.BufferReader(settings["schema"]))
    prefix = part_prefix(settings["run_id"], partition)
    staging = Staging(settings["staging"], prefix, schema, settings["flush_rows"], settings["flush_seconds"])
    window = Window(lambda: make(settings), staging, settings)
    paid = staging.request_ids()
    began = time.time()
    try:
        for batch in batches:
            rows = batch[~batch["request_id"].isin(paid)] if paid else batch
            for row in rows.astype(object).mask(rows.isna(), None).to_dict("records"):
                window.add({str(name): value for name, value in row.items()})
        window.drain()
    finally:
        staging.flush(force=True)
        if window.engine is not None:
            window.engine.close()
    place = {"partition": partition, "executor": socket.gethostname(), "gpus": ",".join(gpu_addresses())}
    times = {"began": began, "ended": time.time(), "idle_seconds": window.idle_seconds}
    yield pd.DataFrame([place | window.figures | times])
