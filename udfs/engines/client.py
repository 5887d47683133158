"""The worker's side of an engine host: find or start it, send requests, take completions as they finish."""

import fcntl
import hashlib
import json
import os
import re
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

from udfs.engines.messages import CallSettings, EngineDied, EngineLacksMemory, EngineRequest, EngineResult, HostStart

# Environment of every engine: no telemetry, spawned children (a fork after CUDA was touched fails).
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "TOKENIZERS_PARALLELISM": "false",
}
HELLO_SECONDS = 60  # a host greets at once; one that loads another model into a full machine may need a while
_START = "host starts"  # in the log, which the hosts of one model share: what is above is another one's
_CAUSE = re.compile(r"(?:^|[\s\]])((?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?:: .*|$))")
_NO_CAUSE = re.compile(
    r"(?i)see (?:the )?root cause|see (?:the )?(?:stack )?trace|engine core initialization failed|EngineDeadError"
)
_MEMORY = re.compile(r"(?i)out ?of ?memory|free memory|available memory|kv ?cache|cannot allocate")
# Taken by others, who may give it back; a KV cache that is too small stays so.
_TAKEN = re.compile(r"(?i)out ?of ?memory|free memory|cannot allocate")
_LESS_MEMORY = (
    "give it less: engine.args.gpu_memory_utilization or engine.max_model_len, on a CPU "
    "generation.env.VLLM_CPU_KVCACHE_SPACE"
)
LONGEST_BASE = 64  # bytes; "/boostqa-UID/" and two digests with ".socket.new" come after it


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


def gpus_needed(engine: dict[str, Any]) -> int:
    """GPUs one engine spreads over: tensor parallel size x pipeline parallel size."""
    return int(engine["tensor_parallel_size"]) * int(engine.get("args", {}).get("pipeline_parallel_size", 1))


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def _folder() -> Path:
    """Where hosts keep socket, pid and log: the temporary folder, or /tmp where its path is too long for a socket's
    name (107 bytes, unix(7)), as in YARN's containers. Executors that share it differ by their JVM."""
    base = tempfile.gettempdir()
    folder = Path(base if len(base.encode()) <= LONGEST_BASE else "/tmp") / f"boostqa-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _is_cpu_build() -> bool:
    """vLLM's CPU build is a distribution of its own name, by which vLLM does not recognise its platform."""
    return any(d.metadata["Name"] == "vllm-cpu" for d in distributions(name="vllm-cpu"))


def _check_gpus(gpus: list[str], engine: dict[str, Any]) -> None:
    """Raise EngineDied when the task has GPUs, but not as many as the engine spreads over."""
    wanted = gpus_needed(engine)
    if gpus and len(gpus) != wanted:
        raise EngineDied(
            f"the task has {len(gpus)} GPU(s) ({', '.join(gpus)}), the engine needs {wanted} (tensor x pipeline "
            f"parallel): set spark.task.resource.gpu.amount={wanted}, or leave it unset and let the stage ask for them"
        )


def root_cause(log: str) -> str:
    """What a host's log says ended it: the last error that is no mere consequence, else its last line; with the settings
    to change where memory was short."""
    lines = [line.strip() for line in log.rpartition(_START)[2].splitlines() if line.strip()]
    errors = [found[1] for line in lines if (found := _CAUSE.search(line)) and not _NO_CAUSE.search(line)]
    cause = (errors or lines or ["it left no log"])[-1][-600:]
    return f"{cause}\n  {_LESS_MEMORY}" if _MEMORY.search(cause) else cause


def living_host(pid_file: Path) -> psutil.Process | None:
    """The host that `pid_file` names; None when it is gone or its number went to another process.

    It is told by its start time or its command line: the time shifts when the clock is set, and between fork and the
    end of exec, which takes a while on a busy machine, a process has no command line yet.
    """
    try:
        pid, started = pid_file.read_text().split()
        host = psutil.Process(int(pid))
        same = host.create_time() == float(started) or "udfs.engines.host" in host.cmdline()
        return host if same and host.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def _end_host(pid_file: Path) -> None:
    """End a host and its engine, and wait until their memory is free."""
    host = living_host(pid_file)
    if host is None:
        return
    try:
        family = [host, *host.children(recursive=True)]
        os.killpg(host.pid, signal.SIGKILL)
        psutil.wait_procs(family, timeout=60)
    except (OSError, psutil.NoSuchProcess):
        return


class HostClient:
    """A connection to an engine host of this executor and its GPUs, for one model and its settings.

    At most `resident_engines` hosts stay on the same executor and GPUs: asking for one model more ends the host that
    was used longest ago, since two engines do not fit a GPU unless the conf gives each a part of its memory.
    `progress` grows while the engine generates, `in_flight_tokens` is what this client's unfinished requests have.
    """

    def __init__(self, settings: CallSettings) -> None:
        owner, gpus = owner_pid(), gpu_addresses()
        _check_gpus(gpus, settings["engine"])
        self.slot = _folder() / _digest([owner, psutil.Process(owner).create_time(), gpus])
        model = _digest([settings["model"], settings["revision"], settings["engine"]])
        self.path = Path(f"{self.slot}-{model}.socket")
        self.started = False
        self.progress = self.in_flight_tokens = 0
        with open(f"{self.slot}.lock", "w") as lock:  # one worker starts the host, the others wait for it
            fcntl.flock(lock, fcntl.LOCK_EX)
            connected = self._connect()
            if connected is None and not self._loading():
                self._make_room(settings["resident_engines"])
                self._start(settings, owner, gpus)
                self.started = True
            if connected is None:
                self._wait_until_loaded(settings["start_seconds"])
                connected = self._connect()
            if connected is not None:
                self._pid_file().touch()  # used now
        if connected is None:
            raise EngineDied(f"engine host closed its socket at once: {self._cause()}")
        self.socket = connected
        self.host = living_host(self._pid_file())
        self.buffer = b""
        self.capacity: int | None = None
        self.greeted = False
        deadline = time.monotonic() + HELLO_SECONDS
        while not self.greeted:
            self.poll(1.0)
            if time.monotonic() > deadline:
                raise EngineDied(f"engine host says nothing: {self._cause()}")

    def submit(self, request: EngineRequest) -> None:
        """Send one request."""
        try:
            self.socket.settimeout(None)
            self.socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise EngineDied(f"engine host ended ({error}): {self._cause()}") from None

    def poll(self, timeout: float) -> list[EngineResult]:
        """Completions that arrived, waiting up to `timeout` seconds for the first."""
        self.socket.settimeout(max(timeout, 0.001))
        try:
            data = self.socket.recv(1 << 20)
        except TimeoutError:
            return []
        except OSError as error:
            raise EngineDied(f"engine host ended ({error}): {self._cause()}") from None
        if not data:
            raise EngineDied(f"engine host ended: {self._cause()}")
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        results = []
        for message in map(json.loads, lines):
            if "capacity" in message:
                self.capacity, self.greeted = message["capacity"], True
            elif "pulse" in message:
                self.progress, self.in_flight_tokens = message["pulse"], message["in_flight"]
            else:
                results.append(message)
        return results

    def kill(self) -> None:
        """End a host that answers no more, unless another task has replaced it already."""
        if living_host(self._pid_file()) == self.host:
            _end_host(self._pid_file())

    def close(self) -> None:
        """Leave; the host stays for the next worker."""
        self.socket.close()

    def _pid_file(self) -> Path:
        return self.path.with_suffix(".pid")

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self.path))
            return connection
        except OSError:
            connection.close()
            return None

    def _loading(self) -> bool:
        """Whether a worker that was killed left a host of this model behind that is still loading."""
        return not self.path.exists() and living_host(self._pid_file()) is not None

    def _make_room(self, resident: int) -> None:
        """End this model's own host, which does not answer, and those used longest ago until one more may come."""
        _end_host(self._pid_file())
        hosts = [p for p in self.slot.parent.glob(f"{self.slot.name}-*.pid") if living_host(p) is not None]
        for pid_file in sorted(hosts, key=lambda p: p.stat().st_mtime)[: max(0, len(hosts) + 1 - resident)]:
            _end_host(pid_file)

    def _start(self, settings: CallSettings, owner: int, gpus: list[str]) -> None:
        self.path.unlink(missing_ok=True)
        environment = os.environ | ENVIRONMENT | settings["env"]
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without compiled bytecode imports take twice as long
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        if _is_cpu_build():
            environment.setdefault("VLLM_TARGET_DEVICE", "cpu")
        with open(self.path.with_suffix(".log"), "ab") as log:
            log.write(f"{_START}\n".encode())
            log.flush()
            host = subprocess.Popen(
                [sys.executable, "-m", "udfs.engines.host"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        self._pid_file().write_text(f"{host.pid} {psutil.Process(host.pid).create_time()}")
        assert host.stdin
        start: HostStart = {
            "model": settings["model"], "revision": settings["revision"], "engine": settings["engine"],
            "idle_seconds": settings["idle_seconds"], "socket": str(self.path), "owner": owner,
        }  # fmt: skip
        host.stdin.write(json.dumps(start).encode())
        host.stdin.close()

    def _wait_until_loaded(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.path.exists():
            if living_host(self._pid_file()) is None:
                cause = self._cause()
                kind = EngineLacksMemory if _TAKEN.search(cause) else EngineDied
                raise kind(f"vLLM did not start: {cause} (log: {self.path.with_suffix('.log')})")
            if time.monotonic() > deadline:
                _end_host(self._pid_file())
                raise EngineDied(f"vLLM did not start within {seconds:.0f} s (generation.start_seconds)")
            time.sleep(0.1)

    def _cause(self) -> str:
        try:
            return root_cause(self.path.with_suffix(".log").read_text(errors="replace"))
        except OSError:
            return root_cause("")
