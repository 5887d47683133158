"""The worker's side of an engine host: find or start it, send requests, take completions as they finish."""

import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

# Environment of every engine: no telemetry, spawned children (a fork after CUDA was touched fails).
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "TOKENIZERS_PARALLELISM": "false",
}


class EngineDied(Exception):
    """The host is gone or could not start; the message says what its log says."""


def owner_pid() -> int:
    """The executor's JVM (the nearest Java ancestor), whose end must end the engine; the parent where there is none."""
    parents = psutil.Process().parents()
    return next((p.pid for p in parents if p.name() == "java"), os.getppid())


def gpu_addresses() -> list[str]:
    """GPU addresses Spark gave to this task; Spark itself sets no CUDA_VISIBLE_DEVICES."""
    from pyspark import TaskContext

    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context else None
    return list(gpu.addresses) if gpu else []


class EngineClient:
    """A connection to the host for (model, engine settings, GPUs) on this executor."""

    def __init__(self, settings: dict[str, Any]) -> None:
        owner, gpus = owner_pid(), gpu_addresses()
        identity = json.dumps(
            [settings["model"], settings["revision"], settings["engine"], gpus, owner], sort_keys=True
        )
        folder = Path(tempfile.gettempdir()) / f"boostqa-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.path = folder / hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.started = False
        with open(f"{self.path}.lock", "w") as lock:  # one worker starts the host, the others wait for it
            fcntl.flock(lock, fcntl.LOCK_EX)
            connected = self._connect()
            if connected is None:
                self._start(settings, owner, gpus)
                self.started = True
                connected = self._connect()
        if connected is None:
            raise EngineDied(f"engine host closed its socket at once: {self._log_tail()}")
        self.socket = connected
        self.buffer = b""

    def submit(self, request: dict[str, Any]) -> None:
        """Send one request."""
        try:
            self.socket.settimeout(None)
            self.socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise EngineDied(f"{error}: {self._log_tail()}") from None

    def poll(self, timeout: float) -> list[dict[str, Any]]:
        """Completions that arrived, waiting up to `timeout` seconds for the first."""
        self.socket.settimeout(max(timeout, 0.001))
        try:
            data = self.socket.recv(1 << 20)
        except TimeoutError:
            return []
        except OSError as error:
            raise EngineDied(f"{error}: {self._log_tail()}") from None
        if not data:
            raise EngineDied(f"engine host ended: {self._log_tail()}")
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Leave; the host stays for the next worker."""
        self.socket.close()

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self.path))
            return connection
        except OSError:
            connection.close()
            return None

    def _start(self, settings: dict[str, Any], owner: int, gpus: list[str]) -> None:
        self.path.unlink(missing_ok=True)
        environment = os.environ | ENVIRONMENT | settings["env"]
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without compiled bytecode imports take twice as long
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        else:
            environment.setdefault("VLLM_TARGET_DEVICE", "cpu")
        with open(f"{self.path}.log", "wb") as log:
            host = subprocess.Popen(
                [sys.executable, "-m", "udfs.engines.host"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        assert host.stdin
        told = {key: settings[key] for key in ("model", "revision", "engine", "idle_seconds")}
        host.stdin.write(json.dumps(told | {"socket": str(self.path), "owner": owner}).encode())
        host.stdin.close()
        deadline = time.monotonic() + settings["start_seconds"]
        while not self.path.exists():
            if host.poll() is not None:
                raise EngineDied(f"vLLM did not start: {self._log_tail()} (log: {self.path}.log)")
            if time.monotonic() > deadline:
                os.killpg(host.pid, 9)
                raise EngineDied(
                    f"vLLM did not start within {settings['start_seconds']:.0f} s (generation.start_seconds)"
                )
            time.sleep(0.1)

    def _log_tail(self) -> str:
        try:
            lines = [x.strip() for x in Path(f"{self.path}.log").read_text(errors="replace").splitlines() if x.strip()]
        except OSError:
            lines = []
        return lines[-1][-600:] if lines else "it left no log"
