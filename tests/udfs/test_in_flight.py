"""generate: requests in flight, flush, restart; the engine is a fake, no Spark."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.sql.pandas.types import to_arrow_schema

from boostqa.calls.requests import REQUEST_COLUMNS
from boostqa.schemas import COMPLETION
from tests.fakes import EchoEngine
from udfs import in_flight
from udfs.engines.messages import EngineDied, EngineLacksMemory
from udfs.generate import generate


def echo(request):
    if request["prompt"] == "too long":
        return {"finish_reason": "refused", "error": "prompt_too_long: 9 > 8"}
    return {"text": request["prompt"], "finish_reason": "stop", "prompt_tokens": 2, "generated_tokens": 3}


class Echo(EchoEngine):
    def __init__(self, **changes):
        super().__init__(echo, **changes)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(in_flight, "RESTART_SECONDS", (0.0, 0.0, 0.0))


def run(tmp_path, prompts, engines, **settings):
    given = dict.fromkeys(REQUEST_COLUMNS) | {"stage": "synthesize", "model": "m", "engine": "{}", "template": "t"}
    given |= {"sampling": json.dumps({"max_tokens": 10}), "sample_index": 0}
    rows = [given | {"request_id": f"id{i}", "prompt": p} for i, p in enumerate(prompts)]
    batches = [pd.DataFrame(rows[i : i + 2]) for i in range(0, len(rows), 2)]
    schema = to_arrow_schema(COMPLETION.schema).serialize().to_pybytes()
    usual = {
        "staging": str(tmp_path),
        "schema": schema,
        "flush_rows": 2,
        "flush_seconds": 1e9,
        "tokens_in_flight": 1000,
        "max_attempts": 2,
        "stall_seconds": 60,
        "run_id": "r",
        "engine": {},
        "endpoint": None,
    }
    engines = iter(engines)

    def connect(_):
        engine = next(engines)
        if isinstance(engine, Exception):
            raise engine
        return engine

    figures = pd.concat(generate(iter(batches), usual | settings, connect))
    parts = [pq.read_table(p).to_pylist() for p in sorted(tmp_path.glob("part-*-f*.parquet"))]
    return figures.iloc[0].to_dict(), parts


def test_every_request_is_staged_once_with_its_own_answer(tmp_path):
    figures, parts = run(tmp_path, list("abcde"), [Echo()])
    rows = {r["request_id"]: r for part in parts for r in part}
    assert {k: r["text"] for k, r in rows.items()} == {f"id{i}": t for i, t in enumerate("abcde")}
    assert sum(len(p) for p in parts) == 5
    assert (figures["completed"], figures["generated_tokens"], figures["engine_starts"]) == (5, 15, 1)


def test_finished_rows_are_flushed_before_the_task_ends(tmp_path):
    gone = [EngineDied("vLLM did not start: no such model")] * 4  # what starts no second engine
    with pytest.raises(EngineDied):
        run(tmp_path, list("abcdef"), [Echo(dies_after=4), *gone], tokens_in_flight=11)
    staged = [r["request_id"] for p in tmp_path.glob("part-*") for r in pq.read_table(p).to_pylist()]
    assert len(staged) == len(set(staged)) == 4


def test_window_is_bounded_by_tokens_across_batches(tmp_path):
    engine = Echo()
    run(tmp_path, list("abcdefgh"), [engine], tokens_in_flight=30)
    assert engine.most == 3
    engine = Echo()
    engine.capacity = 24
    run(tmp_path, list("abcdefgh"), [engine], tokens_in_flight=None, run_id="another")
    assert engine.most == 3


def test_dead_engine_is_replaced_and_in_flight_requests_sent_again(tmp_path):
    figures, parts = run(tmp_path, list("abcdef"), [Echo(dies_after=2), Echo()])
    rows = [r for part in parts for r in part]
    assert sorted(r["request_id"] for r in rows) == [f"id{i}" for i in range(6)]
    assert figures["engine_starts"] == 2
    assert {r["attempts"] for r in rows} == {1, 2}
    assert figures["retry_tokens"] == 7  # what the dead engine took along, as it last told


def test_request_that_kills_every_engine_is_given_up_with_the_cause(tmp_path):
    engines = (Echo(poison="bad") for _ in range(10))
    figures, parts = run(tmp_path, ["a", "bad", "c"], engines, max_attempts=3)  # all three are in flight at each death
    rows = {r["request_id"]: r for part in parts for r in part}
    assert rows["id1"]["finish_reason"] == "failed"
    assert "engine_died: engine host ended" in rows["id1"]["error"]
    assert rows["id0"]["text"] == "a" and rows["id2"]["text"] == "c"
    assert figures["failed"] == 1


def test_one_death_met_twice_suspects_nobody_and_leaves_the_window_full(tmp_path):
    engines = [Echo(dies_after=2), Echo(dies_after=0), last := Echo()]
    figures, parts = run(tmp_path, list("abcdefgh"), engines, max_attempts=3)
    assert sum(len(part) for part in parts) == 8 and figures["failed"] == 0
    assert last.most == 6


def test_only_a_request_in_flight_at_two_deaths_goes_alone_and_after_the_others(tmp_path):
    class Pair(Echo):
        """Dies of one request when it has answered two others."""

        def poll(self, timeout):
            if any(r["prompt"] == "bad" for r in self.in_flight) and self.answered >= 2:
                raise EngineDied("engine host ended: killed")
            return super().poll(timeout)

    engines = [Pair() for _ in range(4)]
    figures, parts = run(tmp_path, ["bad", *"abcdefghij"], iter(engines), max_attempts=3, tokens_in_flight=40)
    rows = {r["prompt"]: r for part in parts for r in part}
    assert {p for p, r in rows.items() if r["finish_reason"] == "failed"} == {"bad"} and len(rows) == 11
    assert figures["failed"] == 1 and engines[2].most > 1  # the rest went on together


def test_engine_that_lacks_memory_for_a_moment_is_started_again(tmp_path):
    memory, gone = (
        EngineLacksMemory("Free memory on device is less than desired"),
        EngineDied("vLLM did not start: port"),
    )
    figures, parts = run(tmp_path, list("abcd"), [memory, Echo(dies_after=1), gone, gone, Echo()])
    assert sum(len(part) for part in parts) == 4 and figures["engine_starts"] == 2
    with pytest.raises(EngineDied, match="port"):  # a first engine that cannot start is nothing to wait for
        run(tmp_path / "new", ["a"], [gone, Echo()])


def test_engine_that_answers_no_more_is_killed_and_replaced(tmp_path):
    class Mute(Echo):
        def poll(self, timeout):
            return []

    mute = Mute()
    figures, parts = run(tmp_path, ["a", "b"], [mute, Echo()], stall_seconds=0.0)
    assert sorted(r["text"] for part in parts for r in part) == ["a", "b"]
    assert mute.killed and figures["engine_starts"] == 2


def test_retried_task_asks_only_what_the_attempt_before_did_not_stage(tmp_path):
    run(tmp_path, ["a", "b"], [Echo()])
    (tmp_path / "part-r-0-cut.parquet").write_bytes(b"PAR1 cut off")
    engine = Echo()
    run(tmp_path, ["a", "b", "c"], [engine])
    assert engine.answered == 1


def test_refused_request_costs_one_row(tmp_path):
    figures, parts = run(tmp_path, ["a", "too long", "c"], [Echo()])
    rows = {r["request_id"]: r for part in parts for r in part}
    assert rows["id1"]["finish_reason"] == "refused" and rows["id1"]["error"].startswith("prompt_too_long")
    assert (figures["completed"], figures["failed"]) == (2, 1)


def test_half_a_surrogate_pair_in_an_answer_is_replaced(tmp_path):
    class Odd(Echo):
        def poll(self, timeout):
            return [r | {"text": "x\ud800"} for r in super().poll(timeout)]

    _, parts = run(tmp_path, ["a"], [Odd()])
    assert parts[0][0]["text"] == "x?"
