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
from udfs.engines import endpoint_health
from udfs.engines.messages import EngineDied, EngineUnusable


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
    assert engine.health.limit == 9


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
    engine, server = connect(*[lambda *_: failure(429, "daily quota", retry_after="86400")] * 2)
    engine.submit(request())
    with pytest.raises(EngineUnusable, match="HTTP 429: daily quota"):
        collect(engine, 1)
    assert len(server.tries + server.probes) == 1


def test_quota_that_only_some_requests_meet_fails_them(connect):
    engine, _ = connect(
        lambda prompt, _: failure(429, "too much", retry_after="86400") if prompt == "b" else chat_answer()
    )
    results = ask(engine, request("a"), request("b"))
    assert results["a"]["finish_reason"] == "stop"
    assert (results["b"]["finish_reason"], results["b"]["error"]) == ("failed", "endpoint: HTTP 429: too much")


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
    assert len(server.tries) == 2 and engine.health.limit == 4


def test_time_out_is_retried_and_halves_the_limit(connect):
    engine, server = connect(
        lambda _, number: (*chat_answer("late"), 20.0) if number == 1 else chat_answer("in time"), timeout_seconds=3.0
    )
    result = ask(engine, request())["hi"]
    assert result["text"] == "in time" and len(server.tries) == 2
    assert engine.health.limit == 8
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
    refuses = []

    def script(prompt, _):
        return failure(status, f"Incorrect API key provided: {KEY[:7]}****{KEY[-4:]}") if refuses else chat_answer()

    engine, _ = connect(script, probe=lambda _: script("", 0))
    ask(engine, request("first"))
    refuses.append(True)
    engine.submit(request("second"))
    with pytest.raises(
        EngineUnusable, match=rf"HTTP {status}: Incorrect API key provided: \*\*\*.* set the key in {KEY_ENV}"
    ) as caught:
        collect(engine, 1)
    with pytest.raises(EngineUnusable, match=KEY_ENV):
        engine.submit(request("third"))
    assert KEY[:7] not in str(caught.value) and KEY[-4:] not in str(caught.value) and KEY not in repr(engine)


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_request_that_is_refused_as_if_nobody_might_ask_is_refused_alone_while_others_are_answered(connect, status):
    def script(prompt, _):
        return failure(status, "blocked by our firewall") if "bomb" in prompt else chat_answer(prompt)

    engine, server = connect(script)
    prompts = [f"bomb {i}" if i % 7 == 0 else f"p{i}" for i in range(60)]
    results = ask(engine, *map(request, prompts))
    refused = {p for p, r in results.items() if r["finish_reason"] == "refused"}
    assert refused == {p for p in prompts if "bomb" in p}
    assert results["bomb 0"]["error"] == f"endpoint: HTTP {status}: blocked by our firewall"
    assert len(server.tries) == 60 and len(server.probes) <= 1 + len(refused)


def test_nothing_is_sent_before_a_harmless_request_proved_the_endpoint(connect):
    engine, server = connect(lambda *_: chat_answer(), probe=lambda n: failure(404, "no model teacher"))
    for i in range(24):
        engine.submit(request(f"p{i}"))
    with pytest.raises(EngineUnusable, match=r"no model teacher; .*endpoint\.url is wrong"):
        collect(engine, 1)
    assert server.tries == [] and len(server.probes) == 1


def test_parameter_that_the_server_does_not_know_ends_the_call_before_it_refuses_everything(connect):
    engine, server = connect(lambda *_: chat_answer(), probe=lambda _: failure(400, "unknown parameter top_k"))
    engine.submit(request(top_k=5))
    with pytest.raises(EngineUnusable, match="unknown parameter top_k"):
        collect(engine, 1)
    assert server.probes[0][3]["top_k"] == 5 and server.tries == []


def test_outage_uses_up_no_tries_and_ends_the_call_with_the_servers_words_when_it_lasts(connect, monkeypatch):
    broken = threading.Event()

    def script(prompt, _):
        return failure(503, "loading the model") if broken.is_set() else chat_answer(prompt)

    engine, _ = connect(script, probe=lambda _: script("", 0), max_retries=1, patience_seconds=3.0)
    ask(engine, *(request(f"p{i}") for i in range(8)))
    broken.set()
    for i in range(8):
        engine.submit(request(f"q{i}"))
    threading.Timer(1.5, broken.clear).start()
    assert {r["finish_reason"] for r in collect(engine, 8).values()} == {"stop"}
    broken.set()
    engine.submit(request("r"))
    with pytest.raises(EngineUnusable, match=r"has not answered for \d s: HTTP 503: loading the model"):
        collect(engine, 1)


def test_request_that_a_sound_server_never_answers_fails_alone(connect):
    engine, _ = connect(lambda prompt, _: failure(500, "boom") if prompt == "b" else chat_answer(), max_retries=2)
    results = ask(engine, request("b"), request("a"))
    assert (
        results["b"]["error"] == "endpoint: HTTP 500 after 4 tries: boom" and results["b"]["finish_reason"] == "failed"
    )


@pytest.mark.parametrize(("text", "stops"), [("The level is what you make of it", True), ("It is **easy**", False)])
def test_server_that_ignores_the_form_is_not_paid_for_all_of_them(connect, text, stops):
    engine, server = connect(lambda *_: chat_answer(text), max_concurrency=4)
    for i in range(100):
        engine.submit(request(f"p{i}", structured={"choice": ["easy", "hard"]}))
    if not stops:
        assert {r["text"] for r in collect(engine, 100).values()} == {"easy"}
        return
    with pytest.raises(EngineUnusable, match="of its first 16 answers 0 have it; the last one is: The level is what"):
        collect(engine, 100)
    assert len(server.tries) <= 20


def test_redirect_on_the_host_is_followed_and_another_is_named(connect):
    engine, server = connect(lambda *_: chat_answer("moved"))
    script = server.script
    server.script = lambda p, n: (307, {"Location": "/v2/chat/completions"}, {}) if n == 1 else script(p, n)
    assert ask(engine, request())["hi"]["text"] == "moved"
    assert [t[2] for t in server.tries] == ["/v1/chat/completions", "/v2/chat/completions"]
    elsewhere = lambda *_: (308, {"Location": "http://other.example/v1/chat/completions"}, {})
    other, _ = connect(elsewhere, probe=elsewhere)
    other.submit(request())
    with pytest.raises(EngineUnusable, match=r"redirects to http://other\.example/v1"):
        collect(other, 1)


def test_tasks_that_share_an_endpoint_share_what_is_sent_at_once(connect):
    engine, _ = connect(lambda *_: chat_answer(), tasks=4, max_concurrency=100)
    assert (engine.health.limit, engine.health.most) == (4, 25)


def test_completions_that_came_before_the_key_was_refused_are_given(connect):
    def script(prompt, _):
        return failure(401) if prompt == "b" else chat_answer(prompt)

    engine, _ = connect(script, probe=lambda n: chat_answer() if n == 1 else failure(401), max_concurrency=1)
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
    assert results["raw"]["error"] == "endpoint: HTTP 500 after 2 tries: <html>Bearer ***</html>"
    assert results["text"]["text"] == "header was ***"
    reasons = {prompt: r["finish_reason"] for prompt, r in results.items()}
    assert (reasons["json"], reasons["detail"], reasons["moved"], reasons["junk"]) == ("refused",) * 2 + ("failed",) * 2


def test_retries_used_up_fail_the_request_with_the_servers_words(connect):
    engine, server = connect(lambda *_: failure(503, "no capacity"), max_retries=2)
    result = ask(engine, request())["hi"]
    assert result["finish_reason"] == "failed"
    assert result["error"] == "endpoint: HTTP 503 after 4 tries: no capacity"
    assert len(server.tries) == 4 and len(server.probes) == 3  # at the start, at the last try, and at one more
    assert engine.health.limit == 1  # 16, 8, 4, 2, 1


def test_nobody_listening_ends_the_call_with_the_address(connect, monkeypatch):
    monkeypatch.setattr(endpoint_health, "START_SECONDS", 2.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # bound and not listening
        engine, _ = connect(lambda *_: chat_answer(), url=f"http://127.0.0.1:{port}/v1")
        for i in range(24):
            engine.submit(request(f"p{i}"))
        began = time.monotonic()
        with pytest.raises(EngineUnusable, match=r"127\.0\.0\.1 has not answered for \d s: ConnectError"):
            collect(engine, 1)
    assert time.monotonic() - began < 20


def test_limit_grows_by_one_for_each_limit_many_successes_and_no_further_than_its_maximum(connect):
    engine, server = connect(lambda *_: (*chat_answer(), 0.01), max_concurrency=18)
    assert engine.health.limit == 16
    ask(engine, *(request(f"p{i}") for i in range(16)))
    assert engine.health.limit == 17
    ask(engine, *(request(f"q{i}") for i in range(100)))
    assert engine.health.limit == 18
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
