"""What tests that start processes share: where things are, how to wait, which hosts live, and a conf of little input."""

import socket
import time
from pathlib import Path

import psutil
import yaml

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


def few_lines(folder):
    """`few.yaml` in `folder`, the demo's conf with the first lines of one file each as sources, which lie beside it; returns
    it as a dict."""
    conf = yaml.safe_load((ROOT / "conf" / "demo.yaml").read_text())
    conf["seed"]["sources"] = conf["seed"]["sources"][:1]
    conf["tokenizer"] = conf["model"]["generator"] = str(MODEL)
    conf["output"] = str(folder / "output")
    for source in [*conf["seed"]["sources"], *conf["probe"]["items"], *conf["clean"]["benchmarks"]]:
        lines = (ROOT / source["path"]).read_text(encoding="utf-8").splitlines(keepends=True)
        source["path"] = str(folder / Path(source["path"]).name)
        Path(source["path"]).write_text("".join(lines[:4]), encoding="utf-8")
    (folder / "few.yaml").write_text(yaml.safe_dump(conf), encoding="utf-8")
    return conf
