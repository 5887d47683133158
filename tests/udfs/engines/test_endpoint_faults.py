"""openai_engine: whose fault it is that a request is not answered, the request's, the moment's or the endpoint's."""

import socket
import threading
import time

import pytest

from tests.fakes import chat_answer, failure
from tests.udfs.engines.conftest import KEY, KEY_ENV, ask, collect, request
from udfs.engines import endpoint_health
from udfs.engines.messages import EngineDied, EngineUnusable


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
    with pytest.raises(EngineUnusable, match=r"no model teacher; .*endpoint\.url is wrong"):
        for i in range(24):  # the refusal may come before the last one
            engine.submit(request(f"p{i}"))
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
