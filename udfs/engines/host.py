"""The engine host: one process per executor and set of GPUs that holds an engine and serves it on a Unix socket.

Spark ends an idle Python worker after one minute, and an engine inside it would be loaded again for the next stage. So
the worker that needs an engine first starts this process; later workers of the same executor find it by its socket. It
ends when the executor's JVM ends, when no worker was connected for `idle_seconds`, or when its engine fails; the
engine's own child processes end with it.

What goes over the socket is in messages.py. Usage: python -m udfs.engines.host, with a HostStart on standard input.
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
import threading
import time
from typing import Any

import psutil

from udfs.engines.messages import EngineRequest, EngineResult, FinishReason, Hello, HostStart, Pulse, RequestRefused

PULSE_SECONDS = 1.0
LOG_SECONDS = 1.0  # while it generates


def die_with_parent() -> None:
    """Linux: receive SIGKILL when the parent ends, however it ends (prctl(2), PR_SET_PDEATHSIG); at once when the host,
    which leads the session, ended while this process was still starting."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
        if not _alive(os.getsid(0)):
            os._exit(1)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__mp_main__":  # spawned by the engine: vLLM's core would outlive a killed host and hold the GPU
    die_with_parent()


class Host:
    """Serves one engine to any number of connections and knows when to end."""

    def __init__(self, engine: Any, idle_seconds: float) -> None:
        self.engine = engine
        self.idle_seconds = idle_seconds
        self.connections = 0
        self.idle_since = time.monotonic()
        self.generated = 0
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: every request is answered by a line as soon as it is done, in any order."""
        self.connections += 1
        hello: Hello = {"capacity": self.engine.capacity}
        writer.write(json.dumps(hello).encode() + b"\n")
        tasks: set[asyncio.Task] = set()
        unfinished: dict[str, int] = {}  # request_id -> tokens so far
        pulse = asyncio.create_task(self._pulse(unfinished, writer))
        try:
            while line := await reader.readline():
                task = asyncio.create_task(self._answer(json.loads(line), writer, unfinished))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except ConnectionError:
            pass
        finally:
            for task in (pulse, *tasks):
                task.cancel()  # the client is gone: nobody would pay for reading these
            self.log(f"a client left with {len(tasks)} unfinished requests")
            writer.close()
            self.connections -= 1
            self.idle_since = time.monotonic()

    async def _pulse(self, unfinished: dict[str, int], writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            if unfinished:
                pulse: Pulse = {"pulse": self.generated, "in_flight": sum(unfinished.values())}
                writer.write(json.dumps(pulse).encode() + b"\n")
            await asyncio.sleep(PULSE_SECONDS)

    async def _answer(self, request: EngineRequest, writer: asyncio.StreamWriter, unfinished: dict[str, int]) -> None:
        request_id = request["request_id"]
        unfinished[request_id] = 0

        def report(tokens: int) -> None:
            self.generated += tokens - unfinished[request_id]
            unfinished[request_id] = tokens

        try:
            result: EngineResult = await self.engine.complete(request, report)
        except RequestRefused as error:
            result = {"finish_reason": FinishReason.REFUSED, "error": f"{str(error)[:500]} ({self.engine.version})"}
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, the engine is sick
            self.log(f"engine failed: {type(error).__name__}: {error}")
            self.ended.set()
            return
        finally:
            unfinished.pop(request_id, None)
        if not writer.is_closing():
            writer.write(json.dumps({"request_id": request_id, **result}).encode() + b"\n")

    async def wait(self) -> None:
        """Return when the lease ran out or the engine failed."""
        logged = 0
        while not self.ended.is_set():
            try:
                await asyncio.wait_for(self.ended.wait(), timeout=LOG_SECONDS)
            except TimeoutError:
                if self.generated != logged:
                    logged = self.generated
                    self.log("at work")
                if not self.connections and time.monotonic() - self.idle_since > self.idle_seconds:
                    return

    def log(self, what: str) -> None:
        """A line in the host's log, with the tokens it has generated in all."""
        print(f"host {os.getpid()}: {what}; {self.generated} tokens generated", file=sys.stderr, flush=True)


async def run(settings: HostStart, hosts: list[Host]) -> None:
    """Load the engine, then serve; the socket appears only when the engine is ready, the host then joins `hosts`."""
    from udfs.engines.vllm_engine import VllmEngine

    host = Host(VllmEngine(settings["model"], settings["revision"], settings["engine"]), settings["idle_seconds"])
    hosts.append(host)
    path = settings["socket"]
    server = await asyncio.start_unix_server(host.serve, path + ".new", limit=64 * 1024 * 1024)
    os.rename(path + ".new", path)
    await host.wait()
    server.close()


def end() -> None:
    """End this process and the engine's: the host leads a process group of its own."""
    os.killpg(os.getpgid(0), signal.SIGKILL)


def end_with(owner: int, hosts: list[Host]) -> None:
    """Watch the owner, an executor's JVM, from a thread: it may die while the engine is still loading."""
    try:
        process = psutil.Process(owner)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)
    except psutil.NoSuchProcess:
        pass
    for host in hosts:
        host.log("the executor ended")
    end()


def main() -> None:
    """Serve until the end, then take the engine's processes along."""
    settings = json.loads(sys.stdin.read())
    hosts: list[Host] = []
    threading.Thread(target=end_with, args=(settings["owner"], hosts), daemon=True).start()
    try:
        asyncio.run(run(settings, hosts))
    except Exception as error:  # noqa: BLE001
        # The client reads the root cause from the log (client.root_cause).
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:1000]}", file=sys.stderr, flush=True)
    finally:
        end()


if __name__ == "__main__":
    main()
