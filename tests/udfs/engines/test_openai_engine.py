"""openai_engine: tries, waits, limits and the key at a served endpoint; the server is scripted and inside the test."""

import json
import logging
import socket
import threading
import time
from email.utils import formatdate

import pytest

from tests.fakes import chat_answer, failure
from tests.udfs.engines.conftest import KEY, KEY_ENV, ask, collect, request
from udfs.engines.messages import EngineDied


def test_429_waits_as_long_as_retry_after_says_and_halves_the_limit_once(connect):
    together = threading.Barrier(16)  # no first try is answered before all have arrived

    def script(_, number):
        if number == 1:
            together.wait(60)
            return failure(429, retry_after="1")
        return chat_answer()

    engine, server = connect(script)
    prompts = [f"p{i}" for i in range(16)]
    for prompt in prompts:
        engine.submit(request(prompt))
    collected = collect(engine, 16)
    assert {r["finish_reason"] for r in collected.values()} == {"stop"}
    for prompt in prompts:
        first, second = server.times(prompt)
        assert second - first >= 1.0
    # 16 push-backs of one round trip halve once: 8; 16 successes then make it 9, 9 more are missing for 10.
    assert engine.limit == 9


def test_retry_after_as_date_and_in_milliseconds(connect):
    def script(prompt, number):
        if number > 1:
            return chat_answer()
        if prompt == "ms":
            return failure(503, retry_after_ms="700", retry_after="0")
        return failure(503, retry_after=formatdate(time.time() + 3, usegmt=True))  # whole seconds: at least 2 from now

    engine, server = connect(script)
    ask(engine, request("ms"), request("date"))
    waits = {prompt: server.times(prompt)[1] - server.times(prompt)[0] for prompt in ("ms", "date")}
    assert waits["ms"] >= 0.7 and waits["date"] >= 1.5


def test_server_that_asks_to_wait_for_a_day_is_not_waited_for(connect):
    engine, server = connect(lambda *_: failure(429, "daily quota", retry_after="86400"))
    result = ask(engine, request())["hi"]
    assert result["finish_reason"] == "failed" and "daily quota" in result["error"]
    assert len(server.tries) == 1


def test_after_a_push_back_no_more_than_the_limit_are_at_the_server(connect):
    together, lock, now = threading.Barrier(8), threading.Lock(), set()
    most = []

    def script(prompt, number):
        if number == 1:
            together.wait(60)
            return failure(429)
        with lock:
            now.add(prompt)
            most.append(len(now))
        time.sleep(0.1)
        with lock:
            now.remove(prompt)
        return chat_answer()

    engine, _ = connect(script, max_concurrency=8)
    for i in range(8):
        engine.submit(request(f"p{i}"))
    collect(engine, 8)
    assert max(most) <= 5  # 4, and one more after 4 successes


def test_500_is_retried_without_a_smaller_limit(connect):
    engine, server = connect(lambda _, number: failure(500) if number == 1 else chat_answer("ok"), max_concurrency=4)
    assert ask(engine, request())["hi"]["text"] == "ok"
    assert len(server.tries) == 2 and engine.limit == 4


def test_time_out_is_retried_and_halves_the_limit(connect):
    engine, server = connect(
        lambda _, number: (*chat_answer("late"), 20.0) if number == 1 else chat_answer("in time"), timeout_seconds=3.0
    )
    result = ask(engine, request())["hi"]
    assert result["text"] == "in time" and len(server.tries) == 2
    assert engine.limit == 8
    assert result["engine_seconds"] < 3.0  # of the try that succeeded


def test_bad_request_is_refused_alone(connect):
    def script(prompt, _):
        return failure(400, "maximum context length is 9") if prompt == "long" else chat_answer(prompt)

    engine, server = connect(script)
    results = ask(engine, request("a"), request("long"), request("b"))
    assert results["long"]["finish_reason"] == "refused"
    assert results["long"]["error"] == "endpoint: HTTP 400: maximum context length is 9"
    assert (results["a"]["text"], results["b"]["text"]) == ("a", "b")
    assert len(server.tries) == 3


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_ends_the_engine_and_names_the_variable_only(connect, status):
    def script(prompt, _):
        return chat_answer() if prompt == "first" else failure(status, f"Incorrect API key provided: {KEY}")

    engine, _ = connect(script)
    ask(engine, request("first"))
    engine.submit(request("second"))
    with pytest.raises(EngineDied, match=f"{KEY_ENV}.*HTTP {status}") as caught:
        collect(engine, 1)
    with pytest.raises(EngineDied, match=KEY_ENV):
        engine.submit(request("third"))
    assert KEY not in str(caught.value) and KEY not in repr(engine)


def test_completions_that_came_before_the_key_was_refused_are_given(connect):
    engine, _ = connect(lambda prompt, _: failure(401) if prompt == "b" else chat_answer(prompt), max_concurrency=1)
    engine.submit(request("a"))
    engine.submit(request("b"))
    while engine.died is None:
        time.sleep(0.01)
    assert [r["text"] for r in engine.poll(1.0)] == ["a"]
    with pytest.raises(EngineDied):
        engine.poll(0.1)


@pytest.mark.parametrize("value", [None, "  ", "two\nlines"])
def test_missing_or_unusable_key_is_named_at_construction(connect, monkeypatch, value):
    if value is None:
        monkeypatch.delenv(KEY_ENV)
    else:
        monkeypatch.setenv(KEY_ENV, value)
    with pytest.raises(EngineDied, match=f"{KEY_ENV}.*executors' environment") as caught:
        connect(lambda *_: chat_answer())
    assert value is None or "lines" not in str(caught.value)


def test_endpoint_without_a_key_gets_a_dummy(connect):
    engine, server = connect(lambda *_: chat_answer("none of these"), key_env=None)
    assert ask(engine, request())["hi"]["text"] == "none of these"
    assert server.tries[0][4] == "Bearer none"


def test_key_that_the_server_echoes_appears_in_no_result_and_no_log(connect, caplog):
    def script(prompt, _):
        return {
            "json": failure(400, KEY * 40),  # the cut falls within a key, were it cut first
            "raw": (500, {"X-Echo": KEY}, f"<html>Bearer {KEY}</html>".encode()),
            "detail": (422, {}, {"detail": [{"loc": ["header"], "input": KEY}]}),
            "moved": (307, {"Location": f"http://127.0.0.1:1/{KEY}"}, {"message": KEY}),
            "text": chat_answer(f"header was {KEY}"),
            "junk": (200, {}, f"{{{KEY}".encode()),
        }[prompt]

    with caplog.at_level(logging.DEBUG):
        engine, _ = connect(script, max_retries=0)
        results = ask(engine, *(request(p) for p in ("json", "raw", "detail", "moved", "text", "junk")))
        engine.close()
    assert KEY[:8] not in json.dumps(results) and KEY[:8] not in caplog.text
    assert results["raw"]["error"] == "endpoint: HTTP 500 after 1 tries: <html>Bearer ***</html>"
    assert results["text"]["text"] == "header was ***"
    reasons = {prompt: r["finish_reason"] for prompt, r in results.items()}
    assert (reasons["json"], reasons["detail"], reasons["moved"], reasons["junk"]) == ("refused",) * 2 + ("failed",) * 2


def test_retries_used_up_fail_the_request_with_the_servers_words(connect):
    engine, server = connect(lambda *_: failure(503, "no capacity"), max_retries=2)
    result = ask(engine, request())["hi"]
    assert result["finish_reason"] == "failed"
    assert result["error"] == "endpoint: HTTP 503 after 3 tries: no capacity"
    assert len(server.tries) == 3
    assert engine.limit == 2  # 16, 8, 4, 2


def test_refused_connection_fails_the_request_and_not_the_engine(connect):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # bound and not listening
        engine, _ = connect(lambda *_: chat_answer(), url=f"http://127.0.0.1:{port}/v1", max_retries=1)
        results = ask(engine, request("a"), request("b"))
    assert {r["finish_reason"] for r in results.values()} == {"failed"}
    assert results["a"]["error"].startswith("endpoint: ConnectError after 2 tries")
    assert engine.poll(0.0) == []


def test_limit_grows_by_one_for_each_limit_many_successes_and_no_further_than_its_maximum(connect):
    engine, server = connect(lambda *_: (*chat_answer(), 0.01), max_concurrency=18)
    assert engine.limit == 16
    ask(engine, *(request(f"p{i}") for i in range(16)))
    assert engine.limit == 17
    ask(engine, *(request(f"q{i}") for i in range(100)))
    assert engine.limit == 18
    assert server.most <= 18


def test_endpoint_in_trouble_does_not_use_up_the_tries_of_those_that_wait(connect):
    healthy = threading.Event()

    def script(prompt, number):
        if prompt == "first" and number == 4:
            healthy.set()
        return chat_answer() if healthy.is_set() else failure(503)

    engine, server = connect(script, max_concurrency=1)
    results = ask(engine, request("first"), *(request(f"p{i}") for i in range(5)))
    assert {r["finish_reason"] for r in results.values()} == {"stop"}
    assert [len(server.times(f"p{i}")) for i in range(5)] == [1] * 5


def test_submit_and_close_do_not_wait_for_the_server(connect):
    engine, server = connect(lambda *_: (*chat_answer(), 60.0))
    began = time.monotonic()
    for i in range(50):
        engine.submit(request(f"p{i}"))
    while len(server.tries) < 16:
        time.sleep(0.01)
    before = engine.progress
    assert engine.poll(0.05) == []
    assert engine.progress > before  # or the task would take it for hung
    engine.close()
    engine.close()
    engine.kill()
    assert time.monotonic() - began < 50  # an answer takes 60 s
    assert not engine.thread.is_alive()
    with pytest.raises(EngineDied, match="closed"):
        engine.submit(request())
