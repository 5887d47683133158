"""One run at a time makes the tables of a warehouse: a file in it says who does, in a catalog the row of a table, and is
renewed while the run lives.

Two runs on one warehouse would each replace what the other reads. The ledger needs no lease: its writers merge.
"""

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import sleep
from typing import Any, Protocol

import psutil
from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyarrow import fs
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from boostqa.config.location import Location
from boostqa.errors import ConfigError, told
from boostqa.storage.catalog import make_schema, place_of, table_exists
from boostqa.storage.commits import CONCURRENT, until_alone
from udfs.files import file_system

LEASE, TABLE = "_lease.json", "_lease"
RENEW_SECONDS, EXPIRE_SECONDS = 30.0, 300.0
_SETTLE_SECONDS = 1.0  # an object store has no exclusive create: of two that write at once the second stays
_OF_A_TABLE = 3  # in a catalog a renewal is a commit: every 90 seconds will do
Holder = dict[str, Any]


class _Place(Protocol):
    """Where the lease of a warehouse lies."""

    name: str  # what to remove when its holder is dead
    every: int  # of so many times RENEW_SECONDS it is renewed

    def holder(self) -> Holder | None: ...
    def take(self, mine: Holder, dead: Holder | None) -> bool: ...
    def renew(self, mine: Holder) -> None: ...
    def free(self, mine: Holder) -> None: ...


class _File:
    """A file in the folder of the warehouse."""

    def __init__(self, warehouse: str) -> None:
        self.files, folder = file_system(warehouse)
        self.path, self.name, self.every = f"{folder}/{LEASE}", f"{warehouse}/{LEASE}", 1
        self.files.create_dir(folder, recursive=True)

    def holder(self) -> Holder | None:
        """None without a file, or with one that is just being written."""
        try:
            with self.files.open_input_stream(self.path) as file:
                return json.loads(file.read())
        except (OSError, ValueError):
            return None

    def take(self, mine: Holder, dead: Holder | None) -> bool:
        """Write it where there is none; whether it is ours then."""
        if dead:
            self.files.delete_file(self.path)
        if isinstance(self.files, fs.LocalFileSystem):
            try:
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return False
            self.renew(mine)
            return True
        self.renew(mine)
        sleep(_SETTLE_SECONDS)
        return (self.holder() or {}).get("token") == mine["token"]

    def renew(self, mine: Holder) -> None:
        with self.files.open_output_stream(self.path) as file:
            file.write(json.dumps(mine | {"renewed": time.time()}).encode())

    def free(self, mine: Holder) -> None:
        if (self.holder() or {}).get("token") == mine["token"]:
            self.files.delete_file(self.path)


class _Row:
    """The one row of a Delta table, empty while nobody holds it: of two that take it at once, one commit conflicts, is tried
    again, and finds it taken."""

    def __init__(self, spark: SparkSession, warehouse: Location) -> None:
        self.spark, self.table, self.every = spark, warehouse.table(TABLE), _OF_A_TABLE
        self.name = f"the table {self.table}"
        make_schema(spark, self.table)
        until_alone(TABLE, str(warehouse), self._make)

    def _make(self) -> None:
        try:
            self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.table.sql} USING delta AS SELECT '' AS holder")
        except CONCURRENT:
            raise
        except (PySparkException, Py4JJavaError) as error:
            if not table_exists(self.spark, self.table):  # another run has made it meanwhile
                raise ConfigError(f"cannot make {self.name}: {told(error)}") from error

    def holder(self) -> Holder | None:
        row = self.spark.read.table(self.table.sql).first()
        return json.loads(row["holder"]) if row and row["holder"] else None

    def _set(self, token: str, renewed: float | None, holder: Holder | None) -> None:
        """Put a holder in the place of the one with this token (and this sign of life), if it is still there."""
        of = F.coalesce(F.get_json_object("holder", "$.token"), F.lit("")) == token
        if renewed is not None:
            of &= F.get_json_object("holder", "$.renewed").cast("double") == renewed
        text = json.dumps(holder | {"renewed": time.time()}) if holder else ""
        table = DeltaTable.forName(self.spark, self.table.sql)
        until_alone(TABLE, str(self.table), lambda: table.update(of, {"holder": F.lit(text)}))

    def take(self, mine: Holder, dead: Holder | None) -> bool:
        self._set(dead["token"] if dead else "", dead["renewed"] if dead else None, mine)
        return (self.holder() or {}).get("token") == mine["token"]

    def renew(self, mine: Holder) -> None:
        self._set(mine["token"], None, mine)

    def free(self, mine: Holder) -> None:
        self._set(mine["token"], None, None)


def user() -> str:
    """Who runs this, by name, or by number where the system has no name (a container's user of any id)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether a holder is known to be gone: its process on this machine, or it has not renewed for long."""
    if time.time() - holder["renewed"] > EXPIRE_SECONDS:
        return True
    here = holder["host"] == socket.gethostname()
    try:
        return here and psutil.Process(holder["pid"]).create_time() != holder["started"]
    except psutil.NoSuchProcess:
        return here


@contextmanager
def lease(warehouse: str, run_id: str, session: Callable[[], SparkSession]) -> Iterator[None]:
    """Hold a warehouse; `session` is called for one in a catalog alone, so that without Spark it is soon known who holds a
    folder.

    Raises ConfigError that says who holds it, since when, and how to clear it.
    """
    location, process = place_of(warehouse), psutil.Process()
    place: _Place = _Row(session(), location) if location.names else _File(location.path)
    mine = {
        "run_id": run_id, "token": uuid.uuid4().hex, "who": f"{user()}@{socket.gethostname()}",
        "host": socket.gethostname(), "pid": process.pid, "started": process.create_time(), "since": time.time(),
    }  # fmt: skip
    holder = place.holder()
    if (holder and not _is_dead(holder)) or not place.take(mine, holder):
        raise ConfigError(_held(location, place.name, place.holder()))
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(place, mine, ended), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        ended.set()
        renewal.join(timeout=10)  # or it may write the lease once more when it is gone
        with suppress(Exception):  # it must not hide how the run ended; what is left over expires
            place.free(mine)


def _renew(place: _Place, mine: Holder, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS * place.every):
        with suppress(Exception):  # a store that is away for a moment; the lease lasts some times as long
            place.renew(mine)


def _held(warehouse: Location, name: str, holder: Holder | None) -> str:
    if holder is None:
        return f"warehouse {warehouse}: another run is just taking it; try again"
    since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(holder["since"]))
    renewed = max(0, round(time.time() - holder["renewed"]))
    left = max(0, round(EXPIRE_SECONDS - renewed))
    return (
        f"warehouse {warehouse} is in use by run {holder['run_id']} of {holder['who']} (process {holder['pid']}) since {since}; "
        f"it gave a sign of life {renewed} s ago\n"
        f"  wait for it, or use another `warehouse:`; if it is dead, this frees itself in {left} s, or at once when you remove "
        f"{name}"
    )
