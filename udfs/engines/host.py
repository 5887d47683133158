"""The engine host: one process per executor and set of GPUs that holds an engine and serves it on a Unix socket.

Spark ends an idle Python worker after one minute, and an engine inside it would be loaded again for the next stage. So
the worker that needs an engine first starts this process; later workers of the same executor find it by its socket. It
ends when the executor's JVM ends, when no worker was connected for `idle_seconds`, or when its engine fails; the engine's
own child processes end with it. Requests and completions are JSON, one a line.

Usage: python -m udfs.engines.host, with the settings of client.py as JSON on standard input.
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from typing import Any


def die_with_parent() -> None:
    """Linux: receive SIGKILL when the parent ends, however it ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)


if (
    __name__ == "__mp_main__"
):  # a process spawned by the engine: vLLM's core would outlive a killed host and hold the GPU
    die_with_parent()


class Host:
    """Serves one engine to any number of connections and knows when to end."""

    def __init__(self, engine: Any, idle_seconds: float) -> None:
        self.engine = engine
        self.idle_seconds = idle_seconds
        self.connections = 0
        self.idle_since = time.monotonic()
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: every request is answered by a line as soon as it is done, in any order."""
        self.connections += 1
        tasks: set[asyncio.Task] = set()
        try:
            while line := await reader.readline():
                task = asyncio.create_task(self._answer(json.loads(line), writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except ConnectionError:
            pass
        finally:
            for task in tasks:
                task.cancel()  # the client is gone: nobody would pay for reading these
            writer.close()
            self.connections -= 1
            self.idle_since = time.monotonic()

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        from udfs.engines.vllm_engine import Refused

        try:
            result = await self.engine.complete(request)
        except (Refused, ValueError) as error:  # ValueError: vLLM's own validation of a request
            result = {"finish_reason": "refused", "error": str(error)[:500]}
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, the engine is sick
            print(f"engine failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            self.ended.set()
            return
        if not writer.is_closing():
            writer.write(json.dumps({"request_id": request["request_id"], **result}).encode() + b"\n")

    async def wait(self, owner: int) -> None:
        """Return when the owner process is gone, the lease ran out or the engine failed."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(os.pidfd_open(owner), self.ended.set)
        except ProcessLookupError:
            return
        while not self.ended.is_set():
            try:
                await asyncio.wait_for(self.ended.wait(), timeout=1)
            except TimeoutError:
                if not self.connections and time.monotonic() - self.idle_since > self.idle_seconds:
                    return


async def run(settings: dict[str, Any]) -> None:
    """Load the engine, then serve; the socket appears only when the engine is ready."""
    from udfs.engines.vllm_engine import VllmEngine

    host = Host(VllmEngine(settings["model"], settings["revision"], settings["engine"]), settings["idle_seconds"])
    path = settings["socket"]
    server = await asyncio.start_unix_server(host.serve, path + ".new", limit=64 * 1024 * 1024)
    os.rename(path + ".new", path)
    await host.wait(settings["owner"])
    server.close()


def main() -> None:
    """Serve until the end, then take the engine's processes along."""
    settings = json.loads(sys.stdin.read())
    try:
        asyncio.run(run(settings))
    except Exception as error:  # noqa: BLE001
        # The client shows the last line of the log when the host ends before it serves.
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:1000]}", file=sys.stderr, flush=True)
    finally:
        os.killpg(os.getpgid(0), signal.SIGKILL)  # the host leads its own group: takes the engine's processes along


if __name__ == "__main__":
    main()
