"""What goes over the wire to an OpenAI-compatible server: EngineRequest -> path and body, response -> EngineResult.

Two APIs: chat completions, and completions for a request without chat template. The server tokenizes, so the markup of
chats in a prompt is escaped here.
"""

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from udfs.control_tokens import CHAT_MARKUP, as_text
from udfs.engines.messages import WRITTEN, EngineRequest, EngineResult, FinishReason
from udfs.engines.thinking import split_thinking

UNSUPPORTED = "not_supported_by_endpoint: scoring (continuation, letters) runs in the embedded engine only"


def http_request(model: str, request: EngineRequest) -> tuple[str, dict[str, Any]]:
    """Path and JSON body of a request. Raises ValueError for one that an endpoint cannot serve."""
    sampling, structured = request["sampling"], request.get("structured") or {}
    if request.get("continuation") is not None or "letters" in structured:
        raise ValueError(UNSUPPORTED)
    body = {"model": model} | {name: value for name, value in sampling.items() if name not in ("chat", "reply_start")}
    if "json" in structured:
        schema = {"name": "answer", "schema": structured["json"], "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif structured:
        body["structured_outputs"] = structured  # vLLM's own field
    if "choice" in structured:  # only a label's probability is of use, as in the embedded engine
        body["logprobs"] = True if sampling.get("chat") else 0  # of the chosen tokens; the one API takes a number
    prompt = as_text(request["prompt"], CHAT_MARKUP)
    if not sampling.get("chat"):
        return "completions", body | {"prompt": prompt}
    messages = [{"role": "user", "content": prompt}]
    if start := sampling.get("reply_start"):
        messages.append({"role": "assistant", "content": start})
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return "chat/completions", body | {"messages": messages}


def engine_result(answer: dict[str, Any], seconds: float) -> EngineResult:
    """A response body -> the result of a request.

    Thinking is what the server sets apart (`reasoning`, `reasoning_content`) and what stands before </think>. Where the
    server does not count its tokens they are estimated: its share of the characters times the generated tokens.
    """
    choice, usage = answer["choices"][0], answer.get("usage") or {}
    message = choice.get("message") or {}
    thinking, rest = split_thinking(message.get("content") or choice.get("text") or "")
    thinking += message.get("reasoning") or message.get("reasoning_content") or ""
    text = rest.strip() if thinking else rest
    generated = usage.get("completion_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    reason = "refusal" if message.get("refusal") else choice["finish_reason"]
    done = reason in WRITTEN
    return {
        "text": text if done else "",
        # Only "abort" is the server's fault and may end otherwise when it is asked again.
        "finish_reason": reason if done else FinishReason.FAILED if reason == "abort" else FinishReason.REFUSED,
        "prompt_tokens": usage.get("prompt_tokens") or 0,
        "generated_tokens": generated,
        "thinking_tokens": thought or round(generated * len(thinking) / max(len(thinking) + len(text), 1)),
        "cached_tokens": (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        "logprob": _logprob(choice),
        "error": None if done else str(reason),
        "engine_seconds": seconds,
    }


def _logprob(choice: dict[str, Any]) -> float | None:
    """Summed log-probability (nats) of the generated tokens; None where the server tells none."""
    logprobs = choice.get("logprobs") or {}
    tokens = [token["logprob"] for token in logprobs.get("content") or ()] or logprobs.get("token_logprobs") or []
    return sum(tokens) if tokens and None not in tokens else None


def server_message(response: httpx2.Response) -> str:
    """The server's message: of OpenAI's {"error": {"message"}}, FastAPI's {"detail"}, or the body as it is."""
    try:
        message = response.json()
    except ValueError:
        return response.text
    for name in ("error", "detail", "message"):
        if isinstance(message, dict) and message.get(name):
            message = message[name]
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)


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
    except ValueError:
        return 0.0
