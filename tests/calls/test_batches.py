"""batches: a model call by files of requests, sent once and taken in by whoever comes later."""

from pathlib import Path

import pytest
from pyspark.sql.pandas.types import to_arrow_schema

from boostqa.calls import batches
from boostqa.calls.generation import complete
from boostqa.calls.models import ModelSpec
from boostqa.config import Endpoint, EngineSettings, Model
from boostqa.errors import ConfigError
from boostqa.schemas import COMPLETION
from tests.fakes import ScriptedServer, chat_answer, failure
from udfs.engines.batch_api import BatchFolder


def script(prompt, _):
    if prompt == "bad":
        return failure(400, "too long")
    return failure(500, "boom") if prompt == "ill" else chat_answer(prompt.upper(), usage={"completion_tokens": 2})


@pytest.fixture
def provider(monkeypatch):
    """(server, spec); who waits for it is stopped at once where `stops` holds."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ScriptedServer(script)
    server.stops = False

    def sleep(_):
        if server.stops:
            raise KeyboardInterrupt

    monkeypatch.setattr(batches, "sleep", sleep)
    yield server, ModelSpec(Model(id="teacher", endpoint=Endpoint(url=server.url, batch=True)), EngineSettings())
    server.end()


def state(stage):
    return {file.suffix: file for file in Path(stage.staging_folder()).glob("batch-*")}


def test_batch_is_sent_once_and_taken_in_by_the_next_run(new_stage, requests, provider):
    server, spec = provider
    server.stops, first = True, new_stage()
    with pytest.raises(KeyboardInterrupt):
        complete(first, requests("a", "b", "bad", "ill"), spec)
    assert len(server.batches) == 1 and set(state(first)) == {".rows", ".json"}
    state(first)[".json"].unlink()  # as if it had been killed before the provider's answer was noted
    server.stops, second = False, new_stage(run_id="run2")
    rows = complete(second, requests("a", "b", "bad", "ill", "c"), spec).collect()
    assert {r["prompt"]: (r["finish_reason"], r["text"]) for r in rows} == {
        **{p: ("stop", p.upper()) for p in "abc"}, "bad": ("refused", ""), "ill": ("failed", "")
    }  # fmt: skip
    asked = [
        [line["body"]["messages"][0]["content"] for line in file] for name, file in server.files.items() if "in" in name
    ]
    assert sorted(asked[0]) == ["a", "b", "bad", "ill"] and sorted(asked[1]) == ["c", "ill"]  # what failed, once more
    assert state(second) == {} and second.usage.counts["generated_tokens"] == 6
    assert {r["prompt"]: r["error"] for r in rows}["bad"] == "endpoint: HTTP 400: too long"


def test_file_that_the_provider_refuses_ends_the_call_with_its_words(stage, requests, provider):
    server, spec = provider
    server.batch_ends = "failed"
    with pytest.raises(ConfigError, match="the provider refused a file of requests"):
        complete(stage, requests("a"), spec)
    assert state(stage) == {}


def test_provider_without_a_batch_interface_is_named(stage, requests, provider):
    _, spec = provider
    nowhere = Endpoint(url=spec.model.endpoint.url.replace("/v1", "/v2"), batch=True)
    with pytest.raises(ConfigError, match=r"batch interface of http://127.0.0.1:\d+/.*: HTTP 404: "):
        complete(stage, requests("a"), ModelSpec(Model(id="teacher", endpoint=nowhere), EngineSettings()))


def test_form_is_looked_for_in_the_answers_of_a_batch_and_a_key_in_them_is_struck_out(tmp_path, provider, monkeypatch):
    server, _ = provider
    monkeypatch.setenv("BATCH_KEY", key := "sk-batch-0123456789abcdef")
    endpoint = Endpoint(url=server.url, key_env="BATCH_KEY").model_dump()
    schema = to_arrow_schema(COMPLETION.schema).serialize().to_pybytes()
    folder = BatchFolder({"endpoint": endpoint, "staging": str(tmp_path), "schema": schema, "run_id": "r"})
    words = {"a": "It is **B**.", "b": f"B, says {key}"}
    lines = [
        {"custom_id": name, "response": {"status_code": 200, "body": chat_answer(text)[2]}}
        for name, text in words.items()
    ]
    server.files["out"] = [*lines, {"custom_id": "c", "response": {"status_code": 400, "body": {"error": f"{key}?"}}}]
    results = folder._results({"output_file_id": "out"}, {"a": {"choice": ["A", "B"]}})
    assert {name: result.get("text") for name, result in results.items()} == {"a": "B", "b": "B, says ***", "c": None}
    assert results["c"]["error"] == "endpoint: HTTP 400: ***?"
