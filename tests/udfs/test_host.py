"""client and host: one engine for all workers of an executor, and none left when it is not wanted any more.

The host is the real one in its own process; its engine is a fake that a sitecustomize module puts in vLLM's place, with a
child process as vLLM has one. The last test takes vLLM itself.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from pyspark.sql.pandas.types import to_arrow_schema

from boostqa.requests import REQUEST_COLUMNS
from boostqa.schemas import COMPLETION
from udfs.engines import client
from udfs.engines.client import EngineClient, EngineDied
from udfs.generate import generate

MODEL = Path(__file__).parents[2] / ".cache" / "models" / "SmolLM2-135M-Instruct"
FAKE = """
import asyncio, multiprocessing, sys, time, types

class Refused(Exception):
    pass

class VllmEngine:
    def __init__(self, model, revision, engine):
        time.sleep(engine.get("load", 0))
        if engine.get("broken"):
            raise RuntimeError("no memory left on the card")
        self.core = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
        self.core.start()

    async def complete(self, request, report):
        for token in range(request["sampling"]["max_tokens"]):
            await asyncio.sleep(0.01)
            report(token + 1)
            if not self.core.is_alive():
                raise RuntimeError("the core is dead")
        return {"text": request["prompt"], "finish_reason": "stop", "generated_tokens": token + 1}

module = types.ModuleType("udfs.engines.vllm_engine")
module.Refused, module.VllmEngine = Refused, VllmEngine
sys.modules["udfs.engines.vllm_engine"] = module
"""


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
    (tmp_path / "sitecustomize.py").write_text(FAKE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


def settings(**changes):
    usual = {
        "model": "m", "revision": None, "engine": {"tensor_parallel_size": 1}, "env": {}, "idle_seconds": 60.0,
        "start_seconds": 60.0, "resident_engines": 1, "endpoint": None,
    }  # fmt: skip
    return usual | changes


def wait_until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def hosts(folder):
    """Living hosts that keep their files under `folder`, by their pid files."""
    return [host for file in folder.glob("boostqa-*/*.pid") if (host := client._host(file))]


def family(folder):
    return [p for host in hosts(folder) for p in (host, *host.children(recursive=True))]


def alive(processes):
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


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
    given_settings = settings(stall_seconds=60) | staging | window | changes
    [figures] = list(generate(iter([pd.DataFrame(rows)]), given_settings, connect))
    staged = [r for part in (folder / "staging").glob("part-*") for r in pq.read_table(part).to_pylist()]
    return figures.iloc[0].to_dict(), {r["request_id"]: r for r in staged}


def test_second_worker_finds_the_host_that_the_first_one_started(fake, tmp_path):
    first = EngineClient(settings())
    first.close()
    second = EngineClient(settings())
    assert (first.started, second.started) == (True, False)
    submit(second, "a")
    wait_until(lambda: [r["text"] for r in second.poll(1.0)] == ["a"])


def test_host_and_its_engine_end_with_the_executor(fake, owner, tmp_path):
    EngineClient(settings())
    processes = family(tmp_path)
    assert len(processes) >= 2
    owner.kill()
    owner.wait()
    wait_until(lambda: not alive(processes))


def test_host_that_is_still_loading_ends_with_the_executor(fake, owner, tmp_path, monkeypatch):
    monkeypatch.setattr(EngineClient, "_wait_until_loaded", lambda self, seconds: None)
    with pytest.raises(EngineDied):
        EngineClient(settings(engine={"tensor_parallel_size": 1, "load": 60}))
    processes = family(tmp_path)
    assert processes
    owner.kill()
    owner.wait()
    wait_until(lambda: not alive(processes))


def test_killed_host_takes_its_engine_along_and_is_replaced(fake, tmp_path):
    engine = EngineClient(settings())
    processes = family(tmp_path)
    processes[0].kill()
    wait_until(lambda: not alive(processes))
    with pytest.raises(EngineDied, match="engine host ended"):
        engine.poll(5.0)
    assert EngineClient(settings()).started


def test_host_of_a_worker_that_was_killed_while_it_loaded_is_used_by_the_next(fake, tmp_path, monkeypatch):
    slow = settings(engine={"tensor_parallel_size": 1, "load": 3})
    with monkeypatch.context() as killed:
        killed.setattr(EngineClient, "_wait_until_loaded", lambda self, seconds: None)
        with pytest.raises(EngineDied):
            EngineClient(slow)
    [before] = hosts(tmp_path)
    engine = EngineClient(slow)
    assert not engine.started and hosts(tmp_path) == [before]


@pytest.mark.parametrize(("resident", "left"), [(1, 1), (2, 2)])
def test_another_model_ends_the_host_used_longest_ago_beyond_what_may_stay(fake, tmp_path, resident, left):
    for model in ("a", "b", "a", "c"):
        EngineClient(settings(model=model, resident_engines=resident)).close()
        time.sleep(0.05)  # the order of use is told by file times
    assert len(hosts(tmp_path)) == left
    assert not EngineClient(settings(model="c", resident_engines=resident)).started
    assert EngineClient(settings(model="a", resident_engines=resident)).started == (resident == 1)


def test_host_nobody_is_connected_to_ends_after_its_lease(fake, tmp_path, monkeypatch):
    engine = EngineClient(settings(idle_seconds=1.0))
    processes = family(tmp_path)
    time.sleep(3)
    assert alive(processes) == processes  # somebody is connected
    engine.close()
    wait_until(lambda: not alive(processes))


def test_engine_that_cannot_start_says_why(fake, tmp_path):
    with pytest.raises(EngineDied, match="vLLM did not start: RuntimeError: no memory left on the card"):
        EngineClient(settings(engine={"tensor_parallel_size": 1, "broken": True}))


def test_task_with_another_number_of_gpus_than_the_engine_needs_is_refused(fake, monkeypatch):
    monkeypatch.setattr(client, "gpu_addresses", lambda: ["0"])
    with pytest.raises(EngineDied, match=r"has 1 GPU.*needs 2"):
        EngineClient(settings(engine={"tensor_parallel_size": 2}))


def test_pulse_tells_progress_and_what_is_in_flight(fake):
    engine = EngineClient(settings())
    submit(engine, "a", tokens=500)
    wait_until(lambda: engine.poll(0.5) == [] and engine.in_flight_tokens > 0)
    assert 0 < engine.in_flight_tokens <= engine.progress < 500


def test_hung_host_is_replaced_and_what_it_had_is_asked_again(fake, tmp_path):
    def connect(given):
        engine = EngineClient(given)
        if engine.started and not (tmp_path / "hung").exists():
            (tmp_path / "hung").touch()
            hosts(tmp_path)[0].suspend()
        return engine

    figures, rows = complete([("a", 5, {}), ("b", 5, {})], tmp_path, connect, stall_seconds=2.0)
    assert {r["prompt"]: (r["finish_reason"], r["attempts"]) for r in rows.values()} == {
        "a": ("stop", 2),
        "b": ("stop", 2),
    }
    assert figures["engine_starts"] == 2


def test_dead_core_costs_one_attempt_and_its_tokens_are_told(fake, tmp_path):
    killer = textwrap.dedent(f"""
        import sys, time; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        import psutil
        time.sleep(2.5)
        [child] = [c for c in psutil.Process(int(sys.argv[1])).children(recursive=True) if "spawn_main" in " ".join(c.cmdline())]
        child.kill()
    """)

    def connect(given):
        engine = EngineClient(given)
        if not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            subprocess.Popen([sys.executable, "-c", killer, str(hosts(tmp_path)[0].pid)])
        return engine

    figures, rows = complete([("a", 400, {})], tmp_path, connect)
    assert (rows["id0"]["finish_reason"], rows["id0"]["attempts"], figures["engine_starts"]) == ("stop", 2, 2)
    assert 0 < figures["retry_tokens"] < 400


@pytest.mark.engine
def test_vllm_takes_odd_rows_one_by_one_survives_its_core_and_leaves_nothing(owner, tmp_path):
    if not (MODEL / "config.json").exists():
        pytest.skip(f"no demo model in {MODEL}: make setup")
    engine = {"tensor_parallel_size": 1, "max_model_len": 512, "dtype": "auto"}
    engine["args"] = {"enforce_eager": True, "max_num_seqs": 16}
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "TORCHDYNAMO_DISABLE": "1"}
    odd = [
        ("word " * 600, 8, {}),
        ("control \x00\x07\x1b characters", 8, {}),
        ("", 8, {}),
        ("schema", 8, {"structured": json.dumps({"json": {"type": "no such type"}})}),
        ("parameter", 8, {"sampling": json.dumps({"max_tokens": 8, "no_such_parameter": 1})}),
        ("temperature", 8, {"sampling": json.dumps({"max_tokens": 8, "temperature": -1})}),
    ]
    usual = [(f"Count to ten, please, for the {i}th time: one,", 200, {}) for i in range(12)]
    killed = []

    def connect(given):
        engine = EngineClient(given)
        if not killed:
            children = hosts(tmp_path)[0].children(recursive=True)
            core = [c for c in children if "EngineCore" in "".join(c.cmdline())]
            killed.append(subprocess.Popen(["sh", "-c", f"sleep 4; kill -9 {core[0].pid}"]))
        return engine

    figures, rows = complete(
        [*odd, *usual], tmp_path, connect, model=str(MODEL), engine=engine, env=env, start_seconds=300
    )
    reasons = {row["prompt"].split()[0] if row["prompt"] else "": row for row in rows.values()}
    assert reasons["word"]["error"].startswith("prompt_too_long")
    for prompt in ("schema", "parameter", "temperature", ""):
        assert reasons[prompt]["finish_reason"] == "refused", (prompt, reasons[prompt])
    assert reasons["control"]["finish_reason"] in ("stop", "length")
    done = [r for r in rows.values() if r["prompt"].startswith("Count")]
    assert len(done) == 12 and all(r["finish_reason"] in ("stop", "length") for r in done)
    assert figures["engine_starts"] == 2 and max(r["attempts"] for r in done) == 2
    processes = family(tmp_path)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    wait_until(lambda: not alive(processes))
