"""One run at a time makes the tables of a warehouse: a file in it says who does, and is renewed while the run lives.

Two runs on one warehouse would each replace what the other reads. The ledger needs no lease: its writers merge.
"""

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import sleep
from typing import Any

import psutil
from pyarrow import fs

from boostqa.errors import ConfigError
from boostqa.storage.warehouse import is_catalog
from udfs.files import file_system

LEASE = "_lease.json"
RENEW_SECONDS, EXPIRE_SECONDS = 30.0, 300.0
_SETTLE_SECONDS = 1.0  # an object store has no exclusive create: of two that write at once the second stays


def user() -> str:
    """Who runs this, by name, or by number where the system has no name (a container's user of any id)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _holder(files: fs.FileSystem, path: str) -> dict[str, Any] | None:
    """Who holds the lease; None without a file, or with one that is just being written."""
    try:
        with files.open_input_stream(path) as file:
            return json.loads(file.read())
    except (OSError, ValueError):
        return None


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether a holder is known to be gone: its process on this machine, or it has not renewed for long."""
    if time.time() - holder["renewed"] > EXPIRE_SECONDS:
        return True
    here = holder["host"] == socket.gethostname()
    try:
        return here and psutil.Process(holder["pid"]).create_time() != holder["started"]
    except psutil.NoSuchProcess:
        return here


def _write(files: fs.FileSystem, path: str, mine: dict[str, Any]) -> None:
    with files.open_output_stream(path) as file:
        file.write(json.dumps(mine | {"renewed": time.time()}).encode())


def _take(files: fs.FileSystem, path: str, mine: dict[str, Any]) -> bool:
    """Write the lease where there is none; whether it is ours then."""
    if isinstance(files, fs.LocalFileSystem):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        _write(files, path, mine)
        return True
    _write(files, path, mine)
    sleep(_SETTLE_SECONDS)
    return (_holder(files, path) or {}).get("token") == mine["token"]


@contextmanager
def lease(warehouse: str, run_id: str) -> Iterator[None]:
    """Hold a warehouse, a folder or URI; one in a catalog has no place for the file and is not held.

    Raises ConfigError that says who holds it, since when, and how to clear it.
    """
    if is_catalog(warehouse):
        yield
        return
    files, folder = file_system(warehouse)
    path, process = f"{folder}/{LEASE}", psutil.Process()
    files.create_dir(folder, recursive=True)
    mine = {
        "run_id": run_id, "token": uuid.uuid4().hex, "who": f"{user()}@{socket.gethostname()}",
        "host": socket.gethostname(), "pid": process.pid, "started": process.create_time(), "since": time.time(),
    }  # fmt: skip
    if (holder := _holder(files, path)) and _is_dead(holder):
        files.delete_file(path)
        holder = None
    if holder or not _take(files, path, mine):
        raise ConfigError(_held(warehouse, holder or _holder(files, path)))
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(files, path, mine, ended), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        ended.set()
        renewal.join(timeout=10)  # or it may write the lease once more when it is gone
        if (_holder(files, path) or {}).get("token") == mine["token"]:
            with suppress(OSError):
                files.delete_file(path)


def _renew(files: fs.FileSystem, path: str, mine: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        with suppress(OSError):  # a store that is away for a moment; the lease lasts ten times as long
            _write(files, path, mine)


def _held(warehouse: str, holder: dict[str, Any] | None) -> str:
    if holder is None:
        return f"warehouse {warehouse}: another run is just taking it; try again"
    since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(holder["since"]))
    renewed = max(0, round(time.time() - holder["renewed"]))
    left = max(0, round(EXPIRE_SECONDS - renewed))
    return (
        f"warehouse {warehouse} is in use by run {holder['run_id']} of {holder['who']} (process {holder['pid']}) since {since}; "
        f"it gave a sign of life {renewed} s ago\n"
        f"  wait for it, or use another `warehouse:`; if it is dead, this frees itself in {left} s, or at once when you remove "
        f"{warehouse.rstrip('/')}/{LEASE}"
    )
