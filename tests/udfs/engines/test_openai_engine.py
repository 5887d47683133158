"""openai_engine: tries, waits, limits and the key at a served endpoint; the server is scripted and inside the test."""

import json
import logging
import re
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


def test_tasks_that_share_an_endpoint_share_what_is_sent_at_once(connect):
    engine, _ = connect(lambda *_: chat_answer(), tasks=4, max_concurrency=100)
    assert (engine.health.limit, engine.health.most) == (4, 25)


def test_limit_doubles_with_each_round_trip_until_the_first_push_back(connect):
    engine, server = connect(lambda *_: (*chat_answer(), 0.01), max_concurrency=64)
    ask(engine, *(request(f"p{i}") for i in range(48)))
    assert engine.health.limit == 64
    ask(engine, *(request(f"q{i}") for i in range(64)))
    assert server.most <= 64


def test_tasks_of_one_endpoint_find_together_what_it_bears(connect):
    bears, tasks, each, lock, now = 24, 4, 150, threading.Lock(), []
    loads = []

    def script(*_):
        with lock:
            if len(now) >= bears:
                return failure(429)
            now.append(1)
            loads.append(len(now))
        time.sleep(0.1)
        with lock:
            now.pop()
        return chat_answer()

    engine, server = connect(script, tasks=tasks, max_concurrency=400)
    engines = [
        engine,
        *(connect(script, tasks=tasks, max_concurrency=400, url=server.url)[0] for _ in range(tasks - 1)),
    ]
    for i in range(each):
        for n, one in enumerate(engines):
            one.submit(request(f"{n}-{i}"))
    results = [r for one in engines for r in collect(one, each).values()]
    assert {r["finish_reason"] for r in results} == {"stop"}
    assert len(server.tries) < 1.2 * tasks * each  # measured: 1.05
    assert sum(loads) / len(loads) > bears / 2  # measured: 17 of 24


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
    tries = "[12] tries"  # one more where no other request was answered meanwhile
    assert re.fullmatch(rf"endpoint: HTTP 500 after {tries}: <html>Bearer \*\*\*</html>", results["raw"]["error"])
    assert results["text"]["text"] == "header was ***"
    reasons = {prompt: r["finish_reason"] for prompt, r in results.items()}
    assert (reasons["json"], reasons["detail"], reasons["moved"], reasons["junk"]) == ("refused",) * 2 + ("failed",) * 2


def test_limit_after_a_push_back_grows_by_one_for_each_limit_many_successes_and_no_further_than_its_maximum(connect):
    engine, server = connect(lambda *_: (*chat_answer(), 0.01), max_concurrency=18)
    assert engine.health.limit == 16
    engine.health.pushed_back(time.monotonic())
    ask(engine, *(request(f"p{i}") for i in range(8)))
    assert engine.health.limit == 9
    ask(engine, *(request(f"q{i}") for i in range(200)))
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
