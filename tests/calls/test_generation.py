"""generation: requests minus ledger -> engine -> ledger; the engine is a fake inside a real Spark task."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import ModelSpec
from boostqa.config import Endpoint, EngineSettings, Model
from boostqa.errors import ConfigError
from boostqa.schemas import ENGINE_TASK
from tests.calls.conftest import SPEC, completion, write_part
from tests.fakes import EchoEngine, ScriptedServer, chat_answer, failure


def echo(log, **changes):
    """A connect function for tasks: an EchoEngine that logs what it was asked."""
    return partial(_echo, log=str(log), **changes)


def _echo(settings, **changes):
    return EchoEngine(**changes)


def texts(completions):
    return {r["prompt"]: r["text"] for r in completions.collect()}


def test_complete_asks_only_what_the_ledger_and_a_killed_run_do_not_hold(new_stage, requests, tmp_path):
    stage, log = new_stage(), tmp_path / "log"
    stage.connect = echo(log)
    asked = requests("a", "b", "b", "c")
    killed = {r["prompt"]: completion(r.asDict(), text="from the killed run") for r in requests("a").collect()}
    write_part(stage, list(killed.values()))
    assert texts(complete(stage, asked, SPEC)) == {"a": "from the killed run", "b": "B", "c": "C"}
    assert list(Path(stage.staging_folder()).glob("part-*")) == []
    before = stage.warehouse.measure("completion")
    complete(stage, asked, SPEC)
    assert sorted(log.read_text().split()) == ["b", "c"]
    assert stage.warehouse.measure("completion") == before
    counts = stage.usage.counts
    assert (counts["requests"], counts["reused"], counts["generated_tokens"]) == (6, 4, 6)
    DeltaTable.forPath(stage.spark, stage.warehouse.path("completion")).update(
        "prompt = 'b'", {"finish_reason": F.lit("failed"), "text": F.lit("")}
    )
    assert texts(complete(stage, asked, SPEC))["b"] == "B"  # the engine's fault: asked again
    assert sorted(log.read_text().split()) == ["b", "b", "c"]


def test_recipes_with_different_warehouses_share_a_ledger(new_stage, requests, tmp_path):
    shared = f"generation.ledger={tmp_path}/ledger"
    one, other = (new_stage(f"warehouse={tmp_path}/{name}", shared, run_id=name) for name in ("one", "other"))
    for stage in (one, other):
        stage.connect = echo(tmp_path / "log")
        complete(stage, requests("a"), SPEC)
    assert (tmp_path / "log").read_text().split() == ["a"]
    assert other.usage.counts["reused"] == 1


def test_each_engine_leaves_a_row_of_what_it_did(new_stage, requests, tmp_path):
    stage = new_stage("generation.engines=2")
    stage.connect = echo(tmp_path / "log")
    complete(stage, requests(*(f"prompt {i}" for i in range(20))), SPEC)
    rows = stage.spark.createDataFrame(stage.usage.engine_tasks, ENGINE_TASK.schema).orderBy("partition").collect()
    assert [(r["stage"], r["call"], r["partition"]) for r in rows] == [("synthesize", 0, 0), ("synthesize", 0, 1)]
    assert sum(r["completed"] for r in rows) == 20 and sum(r["generated_tokens"] for r in rows) == 60
    assert 0 <= stage.usage.idle_tail_share <= 1


def test_engine_that_cannot_start_is_one_readable_error(stage, requests, tmp_path):
    stage.connect = echo(tmp_path / "log", starts=False)
    with pytest.raises(ConfigError, match="no engine for model m: vLLM did not start: no such model"):
        complete(stage, requests("a"), SPEC)


KEY = "the-right-key-of-the-teacher"


def _connect_with_key(settings, key):
    # Workers inherit the environment of the JVM, which is older than this test: the key reaches them through a worker's
    # own start-up here, and through the executors' environment on a cluster.
    os.environ["TEACHER_KEY"] = key
    from udfs.engines.openai_engine import OpenAIEngine

    return OpenAIEngine(settings)


def test_served_model_is_asked_with_the_key_of_the_environment_which_is_shown_nowhere(stage, requests):
    def script(prompt, _):
        right = server.tries[-1][4] == f"Bearer {KEY}"
        return (
            chat_answer(prompt.upper(), usage={"completion_tokens": 2}) if right else failure(401, server.tries[-1][4])
        )

    server = ScriptedServer(
        script, probe=lambda _: chat_answer() if server.probes[-1][4] == f"Bearer {KEY}" else failure(401)
    )
    try:
        endpoint = Endpoint(url=server.url, key_env="TEACHER_KEY", max_retries=0)
        spec = ModelSpec(Model(id="teacher", endpoint=endpoint), EngineSettings())
        wrong = "a-wrong-key-that-must-not-be-shown"
        refused = replace(stage, connect=partial(_connect_with_key, key=wrong))
        with pytest.raises(ConfigError, match=r"HTTP 401.*TEACHER_KEY") as error:
            complete(refused, requests("a"), spec)
        assert wrong not in str(error.value) and wrong not in str(error.value.__cause__)
        stage.connect = partial(_connect_with_key, key=KEY)
        rows = complete(stage, requests("a", "b"), spec).collect()
        assert {r["prompt"]: (r["text"], r["generated_tokens"]) for r in rows} == {"a": ("A", 2), "b": ("B", 2)}
        assert KEY not in str(rows) and stage.usage.counts["engine_starts"] == 0
    finally:
        server.end()
