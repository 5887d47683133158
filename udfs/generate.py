"""REQUEST rows -> part files of completions, whatever the engine: the function that mapInPandas runs.

Requests stay in flight across Arrow batches (in_flight.py); finished rows are flushed from inside the task
(staging.py). The task itself returns one row of figures.
"""

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator

import pandas as pd
import pyarrow as pa
from pyspark import TaskContext

from udfs.engines.client import HostClient, gpu_addresses
from udfs.engines.messages import CallSettings, Engine, EngineUnusable
from udfs.in_flight import TASK_COUNTS, InFlight
from udfs.staging import Staging, part_prefix

TASK_SCHEMA = (
    "partition int, executor string, gpus string, "
    + ", ".join(f"{name} long" for name in TASK_COUNTS)
    + ", began double, ended double, idle_seconds double, unusable string, server_reasons string"
)
Connect = Callable[[CallSettings], Engine]


def _connect(settings: CallSettings) -> Engine:
    if settings["endpoint"]:
        from udfs.engines.openai_engine import OpenAIEngine

        return OpenAIEngine(settings)
    return HostClient(settings)


def generate(
    batches: Iterable[pd.DataFrame], settings: CallSettings, connect: Connect | None = None
) -> Iterator[pd.DataFrame]:
    """Complete every request of the partition; yields one row of TASK_SCHEMA (times in seconds since the epoch).

    `batches`: REQUEST columns (boostqa/calls/requests.py). `connect` replaces the engine that `settings` describe.
    An engine that can answer nothing ends the partition: `unusable` says why, and what it finished before stays.
    `server_reasons` counts, as JSON, what a server calls the ends of whole texts where it has names of its own. Raises
    EngineDied when no engine can be started.
    """
    make = connect or _connect
    context = TaskContext.get()
    partition = context.partitionId() if context else 0
    schema = pa.ipc.read_schema(pa.BufferReader(settings["schema"]))
    prefix = part_prefix(settings["run_id"], partition)
    staging = Staging(settings["staging"], prefix, schema, settings["flush_rows"], settings["flush_seconds"])
    in_flight = InFlight(lambda: make(settings), staging, settings)
    staged = staging.request_ids()
    began, unusable = time.time(), None
    try:
        for batch in batches:
            rows = batch[~batch["request_id"].isin(staged)] if staged else batch
            for row in rows.astype(object).mask(rows.isna(), None).to_dict("records"):
                in_flight.add({str(name): value for name, value in row.items()})
        in_flight.drain()
    except EngineUnusable as error:  # a task that failed would be tried again, and wait again
        unusable = str(error)
    finally:
        staging.flush(force=True)
        if in_flight.engine is not None:
            in_flight.engine.close()
    place = {"partition": partition, "executor": socket.gethostname(), "gpus": ",".join(gpu_addresses())}
    times = {"began": began, "ended": time.time(), "idle_seconds": in_flight.idle_seconds}
    ends = {"unusable": unusable, "server_reasons": json.dumps(in_flight.server_reasons)}
    yield pd.DataFrame([place | in_flight.counts | times | ends])
