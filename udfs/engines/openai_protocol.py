"""What goes over the wire to an OpenAI-compatible server: EngineRequest -> path and body. What comes back: replies.py.

Two APIs: chat completions, and completions for a request without chat template. The server tokenizes, so the markup of
chats in a prompt is escaped here.
"""

from typing import Any

from udfs.control_tokens import CHAT_MARKUP, as_text
from udfs.engines.messages import EngineRequest

UNSUPPORTED = "not_supported_by_endpoint: scoring (continuation, letters) runs in the embedded engine only"


HARMLESS = "What is 1 + 1?"


def harmless(request: EngineRequest) -> EngineRequest:
    """A request of the same parameters that no server has a reason to refuse for its content."""
    short = {"max_tokens": min(8, int(request["sampling"]["max_tokens"]))}
    return request | {"prompt": HARMLESS, "sampling": request["sampling"] | short}


def http_request(model: str, request: EngineRequest, is_vllm: bool = True) -> tuple[str, dict[str, Any]]:
    """Path and JSON body of a request; what only vLLM takes (constraints but JSON, a reply's start) is left out where the
    server is another. Raises ValueError for one that an endpoint cannot serve."""
    sampling, structured = request["sampling"], request.get("structured") or {}
    if request.get("continuation") is not None or "letters" in structured:
        raise ValueError(UNSUPPORTED)
    body = {"model": model} | {name: value for name, value in sampling.items() if name not in ("chat", "reply_start")}
    if "json" in structured:
        schema = {"name": "answer", "schema": structured["json"], "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif structured and is_vllm:
        body["structured_outputs"] = structured  # vLLM's own field
    if "choice" in structured and is_vllm:  # only a label's probability is of use, as in the embedded engine
        body["logprobs"] = True if sampling.get("chat") else 0  # of the chosen tokens; the one API takes a number
    prompt = as_text(request["prompt"], CHAT_MARKUP)
    if not sampling.get("chat"):
        return "completions", body | {"prompt": prompt}
    messages = [{"role": "user", "content": prompt}]
    if is_vllm and (start := sampling.get("reply_start")):
        messages.append({"role": "assistant", "content": start})
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return "chat/completions", body | {"messages": messages}
