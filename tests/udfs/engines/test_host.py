"""client and host: one engine for all workers of an executor, and none left when it is not wanted any more.

The host is the real one in its own process; its engine is a fake that a sitecustomize module puts in vLLM's place, with a
child process as vLLM has one. What vLLM itself leaves behind is in tests/test_vllm.py.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from pyspark.sql.pandas.types import to_arrow_schema

from boostqa.calls.requests import REQUEST_COLUMNS
from boostqa.schemas import COMPLETION
from tests.fakes import FAKE_VLLM
from tests.processes import HANG, ROOT, alive, family, hosts, wait_until
from udfs.engines import client
from udfs.engines.client import HostClient
from udfs.engines.messages import EngineDied
from udfs.generate import generate


@pytest.fixture
def tmp_path():
    """A folder with a short name: a socket's holds 107 bytes, and pytest's are longer where processes share the tests."""
    with tempfile.TemporaryDirectory(prefix="boostqa-test-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def owner(monkeypatch, tmp_path):
    """Stands for the executor's JVM; hosts keep their files under tmp_path."""
    process = subprocess.Popen(["sleep", "600"])
    monkeypatch.setattr(client, "owner_pid", lambda: process.pid)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield process
    process.kill()
    process.wait()
    wait_until(lambda: not hosts(tmp_path))


@pytest.fixture
def fake(owner, monkeypatch, tmp_path):
    """Puts the fake engine in vLLM's place."""
    (tmp_path / "sitecustomize.py").write_text(FAKE_VLLM)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


FREE = "Free memory on device (3.2/79.2 GiB) on startup is less than desired GPU memory utilization (0.9, 71.3 GiB)."


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (
            "host starts\nOSError: an older host's\nhost starts\n(EngineCore pid=7) ERROR 11-20 [core.py:700] Traceback\n"
            + f"(EngineCore pid=7) ERROR 11-20 [core.py:700] ValueError: {FREE}\n"
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n",
            f"ValueError: {FREE}\n  give it less: engine.args.gpu_memory_utilization",
        ),
        ("host starts\nhost 7: at work; 80 tokens generated\n", "host 7: at work; 80 tokens generated"),
        ("", "it left no log"),
    ],
)
def test_root_cause_is_the_last_error_of_this_host_that_is_no_consequence(log, says):
    assert client.root_cause(log).startswith(says)


def settings(**changes):
    usual = {
        "model": "m", "revision": None, "engine": {"tensor_parallel_size": 1}, "env": {}, "idle_seconds": 60.0,
        "start_seconds": HANG, "resident_engines": 1, "endpoint": None,
    }  # fmt: skip
    return usual | changes


def submit(engine, name, tokens=1):
    engine.submit({"request_id": name, "prompt": name, "sampling": {"max_tokens": tokens}})


def complete(prompts, folder, connect=None, **changes):
    """Run generate over rows with these prompts; returns figures and staged rows by prompt."""
    given = dict.fromkeys(REQUEST_COLUMNS) | {"stage": "synthesize", "model": "m", "engine": "{}", "template": "t"}
    rows = [
        given
        | {"request_id": f"id{i}", "prompt": p, "sampling": json.dumps({"max_tokens": n}), "sample_index": 0}
        | more
        for i, (p, n, more) in enumerate(prompts)
    ]
    staging = {
        "staging": str(folder / "staging"),
        "schema": to_arrow_schema(COMPLETION.schema).serialize().to_pybytes(),
    }
    window = {"flush_rows": 100, "flush_seconds": 100, "tokens_in_flight": 100_000, "max_attempts": 3, "run_id": "r"}
    given_settings = settings(stall_seconds=HANG) | staging | window | changes
    [figures] = list(generate(iter([pd.DataFrame(rows)]), given_settings, connect))
    staged = [r for part in (folder / "staging").glob("part-*") for r in pq.read_table(part).to_pylist()]
    return figures.iloc[0].to_dict(), {r["request_id"]: r for r in staged}


def test_second_worker_finds_the_host_that_the_first_one_started(fake, tmp_path):
    first = HostClient(settings())
    first.close()
    second = HostClient(settings())
    assert (first.started, second.started) == (True, False)
    submit(second, "a")
    wait_until(lambda: [r["text"] for r in second.poll(1.0)] == ["a"])


def test_host_and_its_engine_end_with_the_executor(fake, owner, tmp_path):
    HostClient(settings())
    processes = family(tmp_path)
    assert len(processes) >= 2
    owner.kill()
    owner.wait()
    wait_until(lambda: not alive(processes))


def test_host_that_is_still_loading_ends_with_the_executor(fake, owner, tmp_path, monkeypatch):
    monkeypatch.setattr(HostClient, "_wait_until_loaded", lambda self, seconds: None)
    with pytest.raises(EngineDied):
        HostClient(settings(engine={"tensor_parallel_size": 1, "load": 60}))
    processes = family(tmp_path)
    assert processes
    owner.kill()
    owner.wait()
    wait_until(lambda: not alive(processes))


def test_killed_host_takes_its_engine_along_and_is_replaced(fake, tmp_path):
    engine = HostClient(settings())
    processes = family(tmp_path)
    processes[0].kill()
    wait_until(lambda: not alive(processes))
    with pytest.raises(EngineDied, match="engine host ended"):
        while True:  # a pulse may still be on its way
            engine.poll(HANG)
    assert HostClient(settings()).started


def test_host_of_a_worker_that_was_killed_while_it_loaded_is_used_by_the_next(fake, tmp_path, monkeypatch):
    slow = settings(engine={"tensor_parallel_size": 1, "load": 3})
    with monkeypatch.context() as killed:
        killed.setattr(HostClient, "_wait_until_loaded", lambda self, seconds: None)
        with pytest.raises(EngineDied):
            HostClient(slow)
    [before] = hosts(tmp_path)
    engine = HostClient(slow)
    assert not engine.started and hosts(tmp_path) == [before]


@pytest.mark.parametrize(("resident", "left"), [(1, 1), (2, 2)])
def test_another_model_ends_the_host_used_longest_ago_beyond_what_may_stay(fake, tmp_path, resident, left):
    for model in ("a", "b", "a", "c"):
        HostClient(settings(model=model, resident_engines=resident)).close()
        time.sleep(0.05)  # the order of use is told by file times
    assert len(hosts(tmp_path)) == left
    assert not HostClient(settings(model="c", resident_engines=resident)).started
    assert HostClient(settings(model="a", resident_engines=resident)).started == (resident == 1)


def test_host_nobody_is_connected_to_ends_after_its_lease(fake, tmp_path, monkeypatch):
    engine = HostClient(settings(idle_seconds=1.0))
    processes = family(tmp_path)
    time.sleep(3)
    assert alive(processes) == processes  # somebody is connected
    engine.close()
    wait_until(lambda: not alive(processes))


def test_engine_that_cannot_start_says_why(fake, tmp_path):
    with pytest.raises(EngineDied, match="vLLM did not start: RuntimeError: no memory left on the card"):
        HostClient(settings(engine={"tensor_parallel_size": 1, "broken": True}))


def test_task_with_another_number_of_gpus_than_the_engine_needs_is_refused(fake, monkeypatch):
    monkeypatch.setattr(client, "gpu_addresses", lambda: ["0"])
    with pytest.raises(EngineDied, match=r"has 1 GPU.*needs 2"):
        HostClient(settings(engine={"tensor_parallel_size": 2}))


def test_pulse_tells_progress_and_what_is_in_flight(fake):
    engine = HostClient(settings())
    submit(engine, "a", tokens=500)
    wait_until(lambda: engine.poll(0.5) == [] and engine.in_flight_tokens > 0)
    assert 0 < engine.in_flight_tokens <= engine.progress < 500


def test_hung_host_is_replaced_and_what_it_had_is_asked_again(fake, tmp_path):
    def connect(given):
        engine = HostClient(given)
        if engine.started and not (tmp_path / "hung").exists():
            (tmp_path / "hung").touch()
            hosts(tmp_path)[0].suspend()
        return engine

    figures, rows = complete([("a", 5, {}), ("b", 5, {})], tmp_path, connect, stall_seconds=5.0)
    assert {r["prompt"]: (r["finish_reason"], r["attempts"]) for r in rows.values()} == {
        "a": ("stop", 2),
        "b": ("stop", 2),
    }
    assert figures["engine_starts"] == 2


def test_dead_core_costs_one_attempt_and_its_tokens_are_told(fake, tmp_path):
    killers = []

    def kill_core_at_work(engine):
        wait_until(lambda: engine.in_flight_tokens > 0)
        children = hosts(tmp_path)[0].children(recursive=True)
        [core] = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        core.kill()

    def connect(given):
        engine = HostClient(given)
        if not killers:
            killers.append(threading.Thread(target=kill_core_at_work, args=(engine,), daemon=True))
            killers[0].start()
        return engine

    figures, rows = complete([("a", 400, {})], tmp_path, connect)
    assert (rows["id0"]["finish_reason"], rows["id0"]["attempts"], figures["engine_starts"]) == ("stop", 2, 2)
    assert 0 < figures["retry_tokens"] < 400


def test_pid_file_names_a_living_host_by_its_start_time_or_command_line(tmp_path):
    process, file = subprocess.Popen(["sleep", "600"]), tmp_path / "host.pid"
    try:
        started = psutil.Process(process.pid).create_time()
        file.write_text(f"{process.pid} {started}")  # no command line of a host: it may be on its way to exec
        assert client.living_host(file) is not None
        file.write_text(f"{process.pid} {started - 60}")  # the number went to another process
        assert client.living_host(file) is None
    finally:
        process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    file.write_text(f"{process.pid} {started}")
    assert client.living_host(file) is None  # a zombie until it is waited for
    process.wait()
    assert client.living_host(file) is None


def test_child_that_starts_after_its_host_died_ends_at_once(tmp_path):
    """The host leads a session; vLLM's core may still be importing when it is killed."""
    child = "import os, time; from udfs.engines.host import _alive, die_with_parent\n"
    child += "while _alive(os.getsid(0)): time.sleep(0.05)\n"
    child += (
        f"open({str(tmp_path / 'seen')!r}, 'w').close(); die_with_parent(); open({str(tmp_path / 'survived')!r}, 'w')"
    )
    leader = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    subprocess.run([sys.executable, "-c", leader], check=True, start_new_session=True, cwd=ROOT)
    wait_until(lambda: (tmp_path / "seen").exists())
    mine = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    wait_until(lambda: not alive(mine))
    assert not (tmp_path / "survived").exists()
