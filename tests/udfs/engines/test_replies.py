"""replies, constraints, thinking: what a response of a served model is, whatever server gave it."""

import json
import time
from email.utils import formatdate

import pytest

from tests.fakes import chat_answer, failure
from udfs.engines.constraints import fitted
from udfs.engines.replies import ReplyKind, reply
from udfs.engines.thinking import split_thinking

ANSWER, REFUSED, PASSING, UNUSABLE = ReplyKind


def of(status, headers, body, structured=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return reply(status, {name.lower(): value for name, value in headers.items()}, content, 1.0, structured)


def said(text="a whole text", **answer):
    return of(*chat_answer(text, **answer))


@pytest.mark.parametrize(
    ("reason", "kind", "ends_with"),
    [
        *((r, ANSWER, "stop") for r in ("stop", "eos", "eos_token", "end", "end_turn", "stop_sequence", "COMPLETE", "STOP")),
        *((r, ANSWER, "stop") for r in (None, "", "tool_calls", "something_new")),
        *((r, ANSWER, "length") for r in ("length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens")),
        *((r, REFUSED, "refused") for r in ("content_filter", "SAFETY", "RECITATION", "sensitive", "ERROR_TOXIC")),
        *((r, REFUSED, "refused") for r in ("PROHIBITED_CONTENT", "guardrail_intervened", "refusal")),
        *((r, PASSING, None) for r in ("error", "network_error", "abort", "timeout", "insufficient_system_resource")),
        ("repetition", ANSWER, "repetition"),
    ],
)  # fmt: skip
def test_end_by_any_name_is_an_answer_a_cut_a_filter_or_a_fault(reason, kind, ends_with):
    got = said(finish_reason=reason)
    assert got.kind == kind
    if kind == PASSING:
        assert got.pushes_back and str(reason) in got.cause
    else:
        assert got.result["finish_reason"] == ends_with and got.result["generated_tokens"] == 10
        assert got.result["text"] == ("" if kind == REFUSED else "a whole text")
        named = kind == ANSWER and reason not in ("stop", "length", "repetition", None, "")
        assert got.result.get("server_reason") == (reason if named else None)


def test_refusal_in_a_field_of_its_own_is_one():
    got = said("", refusal="I cannot help with that")
    assert (got.kind, got.cause, got.message) == (REFUSED, "refusal", "I cannot help with that")


@pytest.mark.parametrize(
    ("status", "kind", "pushes_back"),
    [
        *((s, REFUSED, False) for s in (400, 413, 422, 451)),
        *((s, PASSING, True) for s in (408, 425, 429, 502, 503, 504, 520, 529)),
        *((s, PASSING, False) for s in (409, 500)),
        *((s, UNUSABLE, False) for s in (301, 308, 401, 402, 403, 404, 405, 407, 410)),
    ],
)
def test_status_is_of_the_request_of_the_moment_or_of_the_endpoint(status, kind, pushes_back):
    got = of(*failure(status, "the server's words"))
    assert (got.kind, got.pushes_back, got.message) == (kind, pushes_back, "the server's words")
    assert got.cause == f"HTTP {status}"


@pytest.mark.parametrize(
    "response",
    [
        failure(429, "later", retry_after="86400"),
        failure(429, "You exceeded it (insufficient_quota)"),
        (429, {}, {"error": {"message": "no more", "code": "insufficient_quota"}}),
        (429, {}, {"error": {"message": "Insufficient balance"}}),
    ],
)
def test_used_up_quota_is_no_push_back(response):
    assert of(*response).kind == UNUSABLE


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"error": {"message": "slow down", "code": 429}}, PASSING, "slow down"),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, PASSING, "slow down"),
        ({"error": {"message": "too long", "code": "400"}}, REFUSED, "too long"),
        ({"error": "upstream died"}, PASSING, "upstream died"),
        ({"error": {"message": "who are you", "status": 401}}, UNUSABLE, "who are you"),
        ({"choices": []}, PASSING, "choices"),
        ({"choices": None}, PASSING, "choices"),
        ({"choices": [None]}, PASSING, "choices"),
        ({}, PASSING, "{}"),
        ([], PASSING, "[]"),
        (b"", PASSING, "an empty body"),
        (b"<html>Sign in</html>", PASSING, "<html>Sign in</html>"),
        (b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', PASSING, "data: "),
        (b"\xff\xfe", PASSING, "\ufffd"),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}, PASSING, "finish_reason stop"),
    ],
)
def test_body_of_a_200_without_an_answer_is_what_it_says(body, kind, words):
    got = of(200, {}, body)
    assert got.kind == kind and words in got.message and got.result is None


PARTS = [{"type": "text", "text": "It is "}, {"type": "text", "text": "4."}]
THINKS = [{"type": "thinking", "thinking": [{"type": "text", "text": "2+2"}]}, {"type": "text", "text": "4."}]


@pytest.mark.parametrize(
    ("message", "text", "thinks"),
    [
        ({"content": PARTS}, "It is 4.", False),
        ({"content": ["It is ", "4."]}, "It is 4.", False),
        ({"content": THINKS}, "4.", True),
        *(({"content": "\n4.", name: "2+2"}, "4.", True) for name in ("reasoning", "reasoning_content", "thinking")),
        ({"content": "4.", "reasoning_details": [{"type": "reasoning.text", "text": "2+2"}]}, "4.", True),
        ({"content": None, "reasoning_content": "So it is 4."}, "So it is 4.", False),
        ({"content": "", "reasoning_content": "2+2\n</think>\n\n4."}, "4.", True),
        ({"content": "<think>2+2</think>\n\n4."}, "4.", True),
        ({"content": "2+2\n</think>\n\n4."}, "4.", True),
        ({"content": "The tag </think> ends it."}, "The tag </think> ends it.", False),
        ({"content": "The tag </think> ends it.", "reasoning": "2+2"}, "The tag </think> ends it.", True),
        ({"content": "<think>2+2</think>Use `</think>`."}, "Use `</think>`.", True),
    ],
)  # fmt: skip
def test_text_and_thinking_are_told_apart_however_they_are_sent(message, text, thinks):
    got = of(*chat_answer(**{"text": message["content"]} | {k: v for k, v in message.items() if k != "content"}))
    assert got.kind == ANSWER and got.result["text"] == text
    assert (got.result["thinking_tokens"] > 0) is thinks


def test_thinking_that_was_cut_off_leaves_no_text():
    for message in ({"text": "<think>and so"}, {"text": None, "reasoning": "and so"}):
        got = said(finish_reason="length", **message)
        assert (got.result["text"], got.result["thinking_tokens"]) == ("", 10)


@pytest.mark.parametrize(
    ("usage", "generated", "thinking"),
    [
        ({"completion_tokens_details": {"reasoning_tokens": 6}}, 10, 6),
        ({"completion_tokens_details": {"reasoning_tokens": 93}}, 103, 93),  # on top, as it shows
        ({"completion_tokens_details": {"reasoning_tokens": 6}, "total_tokens": 17}, 10, 6),
        ({"completion_tokens_details": {"reasoning_tokens": 6}, "total_tokens": 23}, 16, 6),
        ({"reasoning_tokens": 6}, 10, 6),
        ({"completion_tokens_details": None, "prompt_tokens_details": []}, 10, 0),
        ({"completion_tokens": None}, 0, 0),
        ({"completion_tokens": "ten"}, 0, 0),
        ({"completion_tokens": -3}, 0, 0),
        ({"completion_tokens": 10.0}, 10, 0),
        ({"completion_tokens": float("nan")}, 0, 0),
    ],
)
def test_tokens_are_counted_whatever_the_usage_says(usage, generated, thinking):
    result = said(usage=usage).result
    assert (result["generated_tokens"], result["thinking_tokens"]) == (generated, thinking)
    assert 0 <= result["thinking_tokens"] <= result["generated_tokens"]


def test_answer_without_usage_costs_what_is_known_of_it():
    got = of(200, {}, {"choices": [{"text": "AB", "finish_reason": "stop"}]})
    assert (got.result["text"], got.result["generated_tokens"], got.result["prompt_tokens"]) == ("AB", 0, 0)


def test_wait_is_read_as_seconds_milliseconds_or_a_date():
    assert of(*failure(429, retry_after="7")).wait == 7
    assert of(*failure(429, retry_after="7", retry_after_ms="250")).wait == 0.25
    assert 50 < of(*failure(503, retry_after=formatdate(time.time() + 60, usegmt=True))).wait <= 60
    assert of(*failure(503, retry_after="soon")).wait == 0


GRAMMAR = {"grammar": 'root ::= "<solution>" s0\nend ::= "\\n<answer>" [^<]* "</answer>"'}


@pytest.mark.parametrize(
    ("text", "structured", "part"),
    [
        ("anything", None, "anything"),
        ("B", {"choice": ["A", "B"]}, "B"),
        ("**B**.", {"choice": ["A", "B"]}, "B"),
        ("It is a B", {"choice": ["A", "B"]}, "B"),
        ("The answer is No", {"choice": ["yes", "no"]}, "no"),
        ("yes and no", {"choice": ["yes", "no"]}, None),
        ("Nothing", {"choice": ["yes", "no"]}, None),
        ("high school", {"choice": ["high school", "school"]}, "high school"),
        ('```json\n{"a": 1}\n```', {"json": {}}, '{"a": 1}'),
        ('Sure! {"a": [1]} Anything else?', {"json": {}}, '{"a": [1]}'),
        ("Sure!", {"json": {}}, None),
        ("Of course:\n<solution>a</solution>\n<answer>b</answer>\nDone", GRAMMAR, "<solution>a</solution>\n<answer>b</answer>"),
        ("The answer is b", GRAMMAR, None),
    ],
)  # fmt: skip
def test_form_is_found_inside_what_a_server_says_around_it(text, structured, part):
    assert fitted(text, structured) == part
    got = of(*chat_answer(text), structured=structured)
    assert got.conforms is (part is not None) and got.result["text"] == (text if part is None else part)


def test_prompt_that_opened_the_thinking_needs_no_tag_in_the_text():
    assert split_thinking("2+2</think>4", opened=True) == ("2+2", "4")
    assert split_thinking("2+2 and", opened=True) == ("2+2 and", "")
    assert split_thinking("2+2</think>4") == ("", "2+2</think>4")
