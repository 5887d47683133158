"""A served endpoint: EngineRequest -> EngineResult over any OpenAI-compatible HTTP API, for models too large for a
node.

Messages are those of messages.py, except that nothing is scored here (`continuation`, `letters`).
`reply_start`, `choice` and sampling parameters beyond OpenAI's need a vLLM server. It answers as the embedded engine
does when started with `--generation-config vllm` (else the model's own top_k and the like fill in what a request does
not say), `--structured-outputs-config '{"backend": "xgrammar", "disable_any_whitespace": true}'` and, for
cached_tokens, `--enable-prompt-tokens-details`.
"""

import asyncio
import json
import logging
import os
import queue
import random
import threading
import time
from collections import deque
from urllib.parse import urlsplit

import httpx2

from udfs.engines.messages import (
    CallSettings,
    EngineDied,
    EngineRequest,
    EngineResult,
    EngineUnusable,
    FinishReason,
)  # fmt: skip
from udfs.engines.openai_protocol import engine_result, http_request, retry_after, server_message

START_LIMIT = 16  # requests at once, before the server has told what it bears
BACKOFF_SECONDS, BACKOFF_CAP = 0.5, 60.0
LONGEST_WAIT = 3600.0  # who asks for more is out of service: a used-up daily quota
BACK_PRESSURE = {408, 429, 503, 504}  # too many at once: fewer from now on
LONG_KEY = 16  # a model does not write a key of this length by chance; "EMPTY" it may


class OpenAIEngine:
    """Requests in flight at one endpoint; a thread of its own does the waiting.

    As many are at the server as it bears: one more after each `limit` successes, half after a push-back (429, 503,
    time-out, no connection), at most once a round trip (AIMD: Chiu and Jain 1989). A request that rests before its next
    try keeps its place, so that an endpoint in trouble does not use up the tries of all that wait behind.

    `settings`: model (its name at the server) and endpoint {url, key_env, max_concurrency, max_retries, timeout_seconds
    (of one try)}. The key comes from the environment and is struck out of whatever the server says. Raises EngineDied
    when the environment does not hold it.
    """

    started = False  # it starts nothing
    capacity: int | None = None  # max_concurrency bounds it

    def __init__(self, settings: CallSettings) -> None:
        endpoint = settings["endpoint"]
        assert endpoint is not None
        self.model, self.host = settings["model"], urlsplit(endpoint["url"]).hostname
        self.key_env, self._key = endpoint["key_env"], _key(endpoint["key_env"])
        self.max_concurrency, self.tries = int(endpoint["max_concurrency"]), int(endpoint["max_retries"]) + 1
        self.timeout = float(endpoint["timeout_seconds"])
        self.limit = min(START_LIMIT, self.max_concurrency)
        self.successes, self.halved = 0, 0.0
        self.fresh: deque[EngineRequest] = deque()
        self.due: deque[tuple[EngineRequest, int]] = deque()  # rested; with the number of the next try
        self.active = self.resting = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.done: queue.SimpleQueue[EngineResult | None] = queue.SimpleQueue()  # None wakes poll
        self.died: str | None = None
        self.progress = self.in_flight_tokens = 0  # the latter is not known: an answer comes as a whole
        for name in ("httpx2", "httpcore2"):  # they log URLs and headers
            logging.getLogger(name).setLevel(logging.WARNING)
        self.client = httpx2.AsyncClient(
            base_url=endpoint["url"].rstrip("/") + "/",
            headers={"Authorization": f"Bearer {self._key or 'none'}", "Content-Type": "application/json"},
            timeout=httpx2.Timeout(None, connect=min(30.0, self.timeout)),
            # Servers drop an idle connection after 5 s (uvicorn): sending on one just then would fail.
            limits=httpx2.Limits(max_keepalive_connections=self.max_concurrency, keepalive_expiry=2.0),
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="endpoint", daemon=True)
        self.thread.start()

    def submit(self, request: EngineRequest) -> None:
        """Take one request; returns at once. Raises EngineUnusable when the endpoint refuses the key or the model."""
        if self.died:
            raise EngineUnusable(self.died)
        self.fresh.append(request)
        self.loop.call_soon_threadsafe(self._fill)

    def poll(self, timeout: float) -> list[EngineResult]:
        """Completions that arrived, waiting up to `timeout` seconds for the first.

        Raises EngineUnusable when the endpoint refuses the key or the model and what it completed before was taken.
        """
        found = []
        try:
            found.append(self.done.get(timeout=max(timeout, 0.0)))
            while True:
                found.append(self.done.get_nowait())
        except queue.Empty:
            pass
        self.progress += self.thread.is_alive()  # each try has its time-out: while the thread lives, it will end
        results = [result for result in found if result is not None]
        if self.died and not results:
            raise EngineUnusable(self.died)
        return results

    def kill(self) -> None:
        """The same as close: the server is not ours to end."""
        self.close()

    def close(self) -> None:
        """Give up what is in flight, close the connections, end the thread."""
        if self.loop.is_closed():
            return
        self.died = self.died or "the connection to the endpoint was closed"
        if self.thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._leave(), self.loop)
            self.thread.join(timeout=10)
        if not self.thread.is_alive():
            self.loop.close()

    # What follows runs in the loop's thread.

    async def _leave(self) -> None:
        for task in self.tasks:
            task.cancel()
        try:
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await self.client.aclose()
        finally:
            self.loop.stop()

    def _fill(self) -> None:
        """Send what the limit allows: first what rested, then what is new."""
        while not self.died and self.active < self.limit:
            if self.due:
                request, number = self.due.popleft()
            elif self.fresh and self.active + self.resting < self.limit:
                request, number = self.fresh.popleft(), 1
            else:
                return
            self.active += 1
            task = self.loop.create_task(self._run(request, number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _run(self, request: EngineRequest, number: int) -> None:
        try:
            result = await self._try(request, number)
        except Exception as error:  # noqa: BLE001  one row, never a request that is not answered
            result = {
                "finish_reason": FinishReason.FAILED,
                "error": self._scrub(f"endpoint: {type(error).__name__}: {error}"),
            }
        finally:
            self.active -= 1
        if result is not None:
            self.done.put({"request_id": request["request_id"], **result})
        self._fill()

    async def _try(self, request: EngineRequest, number: int) -> EngineResult | None:
        """One HTTP request: its result, or None when it is tried again or the key was refused."""
        try:
            path, body = http_request(self.model, request)
            content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:  # not supported, or not to be written as UTF-8 JSON
            return {"finish_reason": FinishReason.REFUSED, "error": self._scrub(str(error))}
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout):
                response = await self.client.post(path, content=content)
        except (TimeoutError, httpx2.TimeoutException):
            self._halve(began)
            return self._rest(request, number, f"no answer within {self.timeout:g} s")
        except httpx2.RequestError as error:
            self._halve(began)
            return self._rest(request, number, type(error).__name__, str(error))
        status = response.status_code
        if status == 200:
            result = engine_result(response.json(), time.monotonic() - began)
            self.successes += 1
            if self.successes >= self.limit:
                self.successes, self.limit = 0, min(self.limit + 1, self.max_concurrency)
            if len(self._key) >= LONG_KEY:
                result["text"] = result["text"].replace(self._key, "***")
            return result
        if status in (401, 403):
            # The server's message is left out: some show a part of the key.
            problem = f"does not accept the key in {self.key_env}" if self.key_env else "wants a key (endpoint.key_env)"
            self.died = f"endpoint {self.host} {problem}: HTTP {status}; set it in the executors' environment"
            self.done.put(None)
            return None
        if status == 404:
            message = self._scrub(server_message(response))
            self.died = f"endpoint {self.host} has no model {self.model}, or its url is wrong: HTTP 404: {message}"
            self.done.put(None)
            return None
        if status in BACK_PRESSURE:
            self._halve(began)
        if status in (408, 409, 429) or status >= 500:
            return self._rest(
                request, number, f"HTTP {status}", server_message(response), retry_after(response.headers)
            )
        kind = FinishReason.REFUSED if 400 <= status < 500 else FinishReason.FAILED
        return {"finish_reason": kind, "error": self._scrub(f"endpoint: HTTP {status}: {server_message(response)}")}

    def _rest(
        self, request: EngineRequest, number: int, cause: str, message: str = "", least: float = 0.0
    ) -> EngineResult | None:
        """Try again after `least` seconds and a back-off with full jitter; the result when this was the last try."""
        if number >= self.tries or least > LONGEST_WAIT:
            error = f"endpoint: {cause} after {number} tries" + (f": {message}" if message else "")
            return {"finish_reason": FinishReason.FAILED, "error": self._scrub(error)}
        wait = least + random.uniform(0.0, min(BACKOFF_CAP, BACKOFF_SECONDS * 2.0 ** (number - 1)))
        self.resting += 1
        self.loop.call_later(wait, self._rested, request, number + 1)
        return None

    def _rested(self, request: EngineRequest, number: int) -> None:
        self.resting -= 1
        self.due.append((request, number))
        self._fill()

    def _halve(self, began: float) -> None:
        """Half the limit, unless the try began under a limit that was halved since."""
        if began >= self.halved:
            self.successes, self.limit, self.halved = 0, max(self.limit // 2, 1), time.monotonic()

    def _scrub(self, text: str) -> str:
        """One short line without the key: struck out before it is cut, lest a part of it stays."""
        return " ".join((text.replace(self._key, "***") if self._key else text).split())[:400]


def _key(name: str | None) -> str:
    """The key in environment variable `name`; empty where the endpoint wants none."""
    if name is None:
        return ""
    key = os.environ.get(name, "").strip()
    if not key.isascii() or not key.isprintable() or not key:  # no HTTP header could hold it
        state = "holds no valid key" if key else "is not set"
        raise EngineDied(f"endpoint: {name} {state}: the key must be in this variable of the executors' environment")
    return key
