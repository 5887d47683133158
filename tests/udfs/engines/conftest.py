"""Asking a served endpoint: engine and scripted server, requests, and what comes back."""

import time

import pytest

from tests.fakes import ScriptedServer
from tests.processes import HANG
from udfs.engines import openai_engine
from udfs.engines.openai_engine import OpenAIEngine

KEY = "sk-test-5f0e9c7b1a2d4e6f"
KEY_ENV = "BOOSTQA_TEST_KEY"


@pytest.fixture
def connect(monkeypatch):
    """connect(script, **endpoint) -> (engine, server); both end with the test."""
    monkeypatch.setenv(KEY_ENV, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(openai_engine, "BACKOFF_SECONDS", 0.02)
    made = []

    def make(script, probe=None, tasks=1, **endpoint):
        server = ScriptedServer(script, probe)
        made.append(server.end)
        usual = {
            "url": server.url,
            "key_env": KEY_ENV,
            "max_concurrency": 64,
            "max_retries": 3,
            "timeout_seconds": 30.0,
            "patience_seconds": 600.0,
            "vllm": True,
        }
        engine = OpenAIEngine({"model": "teacher", "endpoint": usual | endpoint, "tasks": tasks})
        made.append(engine.close)
        return engine, server

    yield make
    for end in reversed(made):
        end()


def request(prompt="hi", structured=None, **sampling):
    usual = {"chat": True, "temperature": 0.7, "top_p": 0.95, "max_tokens": 32}
    return {"request_id": f"id-{prompt}", "prompt": prompt, "sampling": usual | sampling, "structured": structured}


def collect(engine, count, seconds=HANG):
    """The next `count` results by prompt."""
    results, end = [], time.monotonic() + seconds
    while len(results) < count and time.monotonic() < end:
        results += engine.poll(0.2)
    assert len(results) == count, results
    return {r["request_id"].removeprefix("id-"): r for r in results}


def ask(engine, *requests):
    for each in requests:
        engine.submit(each)
    return collect(engine, len(requests))
