"""What an HTTP response of a served model means: the one place that decides it.

| response | it is | what follows |
|---|---|---|
| 200, text; its reason an end by any name, or none | answer | `stop`; a name other than stop is kept as `server_reason` |
| 200, cut off (length, max_tokens, MAX_TOKENS ...) | answer | `length` |
| 200, only reasoning, ended | answer | the server filed the answer as reasoning: it is the text |
| 200, filtered (content_filter, refusal, SAFETY ...) | refused | this request only |
| 200, a fault (error, network_error, abort ...), neither text nor tokens, no choices, no JSON, a stream | passing | again |
| 200 with {"error": ...} | as the status it names, else 502 | |
| 400, 406, 411, 413 to 418, 421, 422, 424, 431, 451 | refused | this request only |
| 408, 409, 423, 425, 429, 5xx, nothing at all | passing | again, after `Retry-After`; all but 409 and 500 push back |
| 401, 402, 403, 404, 405, 407, 410, other 4xx, redirects to another host | unusable | |
| 429 with insufficient_quota or more than an hour to wait | unusable | |

`refused` holds for the request, `unusable` is a suspicion: it ends a call only where a harmless request with the same
parameters meets the same (openai_engine.py); where that one is answered, the request was refused for its content.
"""

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, NamedTuple

from udfs.engines.constraints import fitted
from udfs.engines.messages import CUT_OFF, EngineResult, FinishReason
from udfs.engines.thinking import THINK_END, split_thinking

LONGEST_WAIT = 3600.0  # seconds; who asks for more is out of service: a used-up daily quota
_PASSING = {408, 409, 423, 425, 429}
_NO_PUSH_BACK = {409, 500}  # trouble with this request, not with how many there are
_REFUSED = {400, 406, 411, 413, 414, 415, 416, 417, 418, 421, 422, 424, 431, 451}
_USED_UP = re.compile(r"insufficient[_ ](?:quota|balance|credits?|funds)|billing", re.IGNORECASE)
# Names of ends, in the order in which they are looked for: ERROR_TOXIC is a filter, max_tokens no error.
_FILTERED = re.compile(
    r"filter|refus|safety|toxic|recitation|block|prohibit|sensitive|moderat|guardrail|spii|violat|policy", re.IGNORECASE
)
_CUT = re.compile(r"length|max|limit|budget|context_window|truncat", re.IGNORECASE)
_FAULT = re.compile(
    r"error|abort|cancel|time_?out|overload|unavailable|insufficient|interrupt|fail|malformed", re.IGNORECASE
)
_REASONING = ("reasoning", "reasoning_content", "reasoning_text", "reasoning_details", "thinking", "thinking_blocks", "thoughts")  # fmt: skip
_THINKING_PARTS = ("thinking", "reasoning", "thought", "redacted_thinking")
_SHOWN = 200  # characters of a body that is no JSON


class ReplyKind(StrEnum):
    """What a response is; see the table above."""

    ANSWER = "answer"
    REFUSED = "refused"
    PASSING = "passing"
    UNUSABLE = "unusable"


class Reply(NamedTuple):
    """A response: its kind, the result of an answer, what the server said, and of a passing one the seconds it asks to
    wait and whether it means that too many are at the server. `cause` is a status or the kind of fault."""

    kind: ReplyKind
    result: EngineResult | None = None
    cause: str = ""
    message: str = ""
    wait: float = 0.0
    pushes_back: bool = False
    conforms: bool = True  # of an answer: whether it has the form that was asked for


def reply(
    status: int, headers: Mapping[str, str], body: bytes, seconds: float = 0.0, structured: dict[str, Any] | None = None
) -> Reply:
    """What a response is (table above); `seconds` it took, `structured` the constraint that was sent."""
    text = body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if status != 200:
        return _of_status(status, headers, server_message(content, text), text)
    if isinstance(content, dict) and content.get("error") and not content.get("choices"):
        return _of_status(_named_status(content["error"]), headers, server_message(content, text), text)
    choices = content.get("choices") if isinstance(content, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Reply(ReplyKind.PASSING, None, "HTTP 200 without an answer", _said(content, text), pushes_back=True)
    assert isinstance(content, dict)
    return _of_choice(content, choices[0], seconds, structured)


def unanswered(got: Reply, refused: bool, after: str = "") -> EngineResult:
    """The result of a request that got no answer, `refused` for good or failed. Its error has the server's words, which may
    hold the key."""
    result: EngineResult = got.result or {"finish_reason": ""}
    result["finish_reason"] = FinishReason.REFUSED if refused else FinishReason.FAILED
    result["error"] = ": ".join(filter(None, ("endpoint", got.cause + after, got.message)))
    return result


def _of_status(status: int, headers: Mapping[str, str], message: str, body: str) -> Reply:
    cause, wait = f"HTTP {status}", retry_after(headers)
    used_up = wait > LONGEST_WAIT or (status == 429 and _USED_UP.search(body))
    if (status in _PASSING or status >= 500) and not used_up:
        return Reply(ReplyKind.PASSING, None, cause, message, wait, status not in _NO_PUSH_BACK)
    return Reply(ReplyKind.REFUSED if status in _REFUSED else ReplyKind.UNUSABLE, None, cause, message)


def _named_status(error: Any) -> int:
    """The status that an error in a body with status 200 names, else that of a bad gateway."""
    named = [error.get(name) for name in ("code", "status", "status_code", "type")] if isinstance(error, dict) else []
    codes = [str(code) for code in named]
    numbers = [int(code) for code in codes if code.isdecimal()]
    if any("rate" in code.lower() for code in codes):
        return 429
    return next((n for n in numbers if 400 <= n < 600), 502)


def _of_choice(
    content: dict[str, Any], choice: dict[str, Any], seconds: float, structured: dict[str, Any] | None
) -> Reply:
    message = choice["message"] if isinstance(choice.get("message"), dict) else choice
    reason = "refusal" if message.get("refusal") else choice.get("finish_reason")
    ended = _ended(str(reason or ""))
    if ended == FinishReason.FAILED:
        said = server_message(choice.get("error"), "")
        return Reply(ReplyKind.PASSING, None, f"finish_reason {reason}", said, pushes_back=True)
    thinking, text = _parted(message, content, cut_off=ended in CUT_OFF)
    if ended == FinishReason.STOP and not text and not thinking and not _count(content, "completion_tokens"):
        return Reply(ReplyKind.PASSING, None, "HTTP 200 without a text", f"finish_reason {reason}", pushes_back=True)
    result: EngineResult = {"finish_reason": ended, **_counts(content, thinking, text)}  # type: ignore[typeddict-item]
    result |= {"logprob": _logprob(choice), "engine_seconds": seconds, "error": None}
    if ended == FinishReason.REFUSED:
        said = message["refusal"] if isinstance(message.get("refusal"), str) else ""
        return Reply(ReplyKind.REFUSED, result | {"text": ""}, str(reason), said)
    found = fitted(text, structured)
    if reason and reason not in (*CUT_OFF, FinishReason.STOP):
        result["server_reason"] = str(reason)
    return Reply(ReplyKind.ANSWER, result | {"text": text if found is None else found}, conforms=found is not None)


def _ended(reason: str) -> FinishReason:
    if reason in CUT_OFF:
        return FinishReason(reason)
    for pattern, end in (
        (_FILTERED, FinishReason.REFUSED), (_CUT, FinishReason.LENGTH), (_FAULT, FinishReason.FAILED)
    ):  # fmt: skip
        if pattern.search(reason):
            return end
    return FinishReason.STOP


def _parted(message: dict[str, Any], content: dict[str, Any], cut_off: bool) -> tuple[str, str]:
    """(thinking, text): what the server sets apart, by any of the usual names, or what the text itself sets apart."""
    apart, text = _of_parts(message["content"] if "content" in message else message.get("text"))
    apart += next((found for name in _REASONING if (found := _of_parts(message.get(name), thinking=True)[0])), "")
    if not apart:
        thinking, text = split_thinking(text, opened=_reasoning_tokens(content) > 0 and THINK_END in text)
        return thinking, text.strip() if thinking else text
    if text.strip() or cut_off:
        return apart, text.strip()
    thinking, text = split_thinking(apart)
    return thinking, text.strip()


def _of_parts(value: Any, thinking: bool = False) -> tuple[str, str]:
    """(thinking, text) of a message's content: a text, or a list of parts."""
    if isinstance(value, str):
        return (value, "") if thinking else ("", value)
    if isinstance(value, dict):
        thinking = thinking or value.get("type") in _THINKING_PARTS
        inside = next((value[k] for k in ("text", "thinking", "reasoning", "summary", "content") if value.get(k)), None)
        return _of_parts(inside, thinking)
    if isinstance(value, list):
        parts = [_of_parts(part, thinking) for part in value]
        return "".join(p[0] for p in parts), "".join(p[1] for p in parts)
    return "", ""


def _count(content: dict[str, Any], *path: str) -> int:
    """A number of `usage`, 0 where it is absent or none."""
    value: Any = content.get("usage")
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**53 else 0


def _reasoning_tokens(content: dict[str, Any]) -> int:
    return _count(content, "completion_tokens_details", "reasoning_tokens") or _count(content, "reasoning_tokens")


def _counts(content: dict[str, Any], thinking: str, text: str) -> dict[str, int]:
    """Counts of tokens. Thinking that the server does not count is estimated by its share of the characters; where its count
    stands on top of the completion's, as the total or the sizes show, the tokens generated are both."""
    prompt, generated = _count(content, "prompt_tokens"), _count(content, "completion_tokens")
    thought = _reasoning_tokens(content)
    if thought and (thought > generated or _count(content, "total_tokens") == prompt + generated + thought):
        generated += thought
    return {
        "prompt_tokens": prompt,
        "generated_tokens": generated,
        "thinking_tokens": thought or round(generated * len(thinking) / max(len(thinking) + len(text), 1)),
        "cached_tokens": _count(content, "prompt_tokens_details", "cached_tokens"),
    }


def _logprob(choice: dict[str, Any]) -> float | None:
    """Summed log-probability (nats) of the generated tokens; None where the server tells none."""
    logprobs = choice.get("logprobs") or {}
    tokens = [token["logprob"] for token in logprobs.get("content") or ()] or logprobs.get("token_logprobs") or []
    return sum(tokens) if tokens and None not in tokens else None


def server_message(content: Any, text: str) -> str:
    """The server's message: of OpenAI's {"error": {"message"}}, FastAPI's {"detail"}, or the body as it is."""
    message = content
    for name in ("error", "detail", "message"):
        if isinstance(message, dict) and message.get(name):
            message = message[name]
    if message is None:
        return text
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)


def _said(content: Any, text: str) -> str:
    return (server_message(content, text) if isinstance(content, dict) and content else text)[
        :_SHOWN
    ] or "an empty body"


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds the server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110,
    10.2.3)."""
    for name, seconds in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * seconds)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
