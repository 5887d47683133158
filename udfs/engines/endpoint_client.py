"""The HTTP client of an endpoint, and its key, which is shown to nobody else."""

import logging
import os
from typing import Any, TypeVar

import httpx2

from udfs.engines.messages import EngineDied, EngineResult

LONG_KEY = 16  # a model does not write a key of this length by chance; "EMPTY" it may
_Client = TypeVar("_Client", httpx2.Client, httpx2.AsyncClient)


def without_key(text: str, key_env: str | None) -> str:
    """One short line without the key in that variable: struck out before it is cut, lest a part of it stays; some servers
    show its ends."""
    key = key_of(key_env)
    words = (text.replace(key, "***") if key else text).split()
    ends = (key[:6], key[-4:]) if len(key) >= LONG_KEY else ()
    return " ".join("***" if any(end in word for end in ends) else word for word in words)[:400]


def without_key_in(result: EngineResult, key_env: str | None) -> EngineResult:
    """The result with the key struck out of its error, and a long one out of its text."""
    key = key_of(key_env)
    if len(key) >= LONG_KEY and "text" in result:
        result["text"] = result["text"].replace(key, "***")
    if error := result.get("error"):
        result["error"] = without_key(error, key_env)
    return result


def api_client(kind: type[_Client], endpoint: dict[str, Any], **more: Any) -> _Client:
    """A client of an endpoint (config.Endpoint) that shows its key. Raises EngineDied when the environment has none."""
    for name in ("httpx2", "httpcore2"):  # they log URLs and headers
        logging.getLogger(name).setLevel(logging.WARNING)
    headers = {"Authorization": f"Bearer {key_of(endpoint['key_env']) or 'none'}"}
    return kind(headers=headers, timeout=httpx2.Timeout(None, connect=min(30.0, endpoint["timeout_seconds"])), **more)


def key_of(name: str | None) -> str:
    """The key in environment variable `name`; empty where the endpoint wants none."""
    if name is None:
        return ""
    key = os.environ.get(name, "").strip()
    if not key.isascii() or not key.isprintable() or not key:  # no HTTP header could hold it
        state = "holds no valid key" if key else "is not set"
        raise EngineDied(f"endpoint: {name} {state}: the key must be in this variable of the executors' environment")
    return key
