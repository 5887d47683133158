"""What tests that start processes share: where things are, how to wait, and which hosts live."""

import socket
import time
from pathlib import Path

import psutil

from udfs.engines.client import living_host

ROOT = Path(__file__).parents[1]
DEMO = str(ROOT / "conf" / "demo.yaml")
MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct"
HANG = 300  # seconds after which something is taken for hung, on a slow and busy machine too


def wait_until(true, seconds=HANG):
    """Wait for a condition; the time is a limit for what hangs, not an expectation."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def free_port():
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def hosts(folder):
    """Living engine hosts that keep their files under `folder`, by their pid files."""
    return [host for file in folder.glob("boostqa-*/*.pid") if (host := living_host(file))]


def family(folder):
    """These hosts and all their children."""
    return [p for host in hosts(folder) for p in (host, *host.children(recursive=True))]


def alive(processes):
    """Those that still run."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
