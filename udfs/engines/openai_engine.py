"""A served endpoint: EngineRequest -> EngineResult over any OpenAI-compatible HTTP API, for models too large for a
node.

Messages are those of messages.py, except that nothing is scored here (`continuation`, `letters`).
`reply_start`, constraints and sampling parameters beyond OpenAI's need a vLLM server. It answers as the embedded engine
does when started with `--generation-config vllm` (else the model's own top_k and the like fill in what a request does
not say), `--structured-outputs-config '{"backend": "xgrammar", "disable_any_whitespace": true}'` and, for
cached_tokens, `--enable-prompt-tokens-details`.
"""

import asyncio
import json
import queue
import random
import threading
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import httpx2

from udfs.engines.endpoint_client import api_client, without_key, without_key_in
from udfs.engines.endpoint_health import EndpointHealth
from udfs.engines.messages import (
    CallSettings,
    EngineRequest,
    EngineResult,
    EngineUnusable,
    FinishReason,
)  # fmt: skip
from udfs.engines.openai_protocol import harmless, http_request
from udfs.engines.replies import Reply, ReplyKind, reply, unanswered

BACKOFF_SECONDS, BACKOFF_CAP = 0.5, 60.0
_REDIRECTS = 4
_QUOTA = ("HTTP 402", "HTTP 429")  # of who asks, whatever is asked
_JSON = {"Content-Type": "application/json"}


class OpenAIEngine:
    """Requests in flight at one endpoint; a thread of its own does the waiting.

    What a response means is decided in replies.py, how many are at the server in endpoint_health.py. Before the first
    request a harmless one of a few tokens proves URL, key, model and parameters; it is sent again where a request used up its
    tries or was refused as if nobody might ask, and no other was answered meanwhile: it tells a request's fault from the
    endpoint's. A request that rests before its next try keeps its place.

    `settings`: model (its name at the server), tasks (that share the endpoint) and endpoint (config.Endpoint). The key comes
    from the environment and is struck out of whatever the server says. Raises EngineDied when the environment does not
    hold it.
    """

    started = False  # it starts nothing
    capacity: int | None = None  # max_concurrency bounds it

    def __init__(self, settings: CallSettings) -> None:
        endpoint = settings["endpoint"]
        assert endpoint is not None
        self.model, self.host = settings["model"], urlsplit(endpoint["url"]).hostname
        self.key_env = endpoint["key_env"]
        self.tries, self.timeout = int(endpoint["max_retries"]) + 1, float(endpoint["timeout_seconds"])
        self.url, self.is_vllm = endpoint["url"].rstrip("/") + "/", endpoint["vllm"]
        most, tasks = int(endpoint["max_concurrency"]), settings["tasks"]
        self.health = EndpointHealth(most, tasks, float(endpoint["patience_seconds"]))
        self.probed = self.probe_wait = 0.0  # when the last probe ended, and the seconds it was told to wait
        self.probes = 0  # that met passing trouble, in a row
        self.fresh: deque[EngineRequest] = deque()
        self.due: deque[tuple[EngineRequest, int]] = deque()  # rested; with the number of the next try
        self.active = self.resting = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.done: queue.SimpleQueue[EngineResult | None] = queue.SimpleQueue()  # None wakes poll
        self.died: str | None = None
        self.progress = self.in_flight_tokens = 0  # the latter is not known: an answer comes as a whole
        # Servers drop an idle connection after 5 s (uvicorn): sending on one just then would fail.
        limits = httpx2.Limits(max_keepalive_connections=self.health.most, keepalive_expiry=2.0)
        self.client = api_client(httpx2.AsyncClient, endpoint, limits=limits)
        self.proving = asyncio.Lock()
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
        while not self.died and self.active < self.health.limit:
            if self.due:
                request, number = self.due.popleft()
            elif self.fresh and self.active + self.resting < self.health.limit:
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
            error_said = self._scrub(f"endpoint: {type(error).__name__}: {error}")
            result = {"finish_reason": FinishReason.FAILED, "error": error_said}
        finally:
            self.active -= 1
        if result is not None:
            self.done.put({"request_id": request["request_id"], **result})
        self._fill()

    async def _try(self, request: EngineRequest, number: int) -> EngineResult | None:
        """One try: its result, or None where it is tried again or the endpoint is given up."""
        try:
            message = self._message(request)
        except ValueError as error:  # not supported, or not to be written as UTF-8 JSON
            return {"finish_reason": FinishReason.REFUSED, "error": self._scrub(str(error))}
        if not await self._is_usable(request):
            return self._rest(request, number, self.probe_wait, self.probes)
        began = time.monotonic()
        got = await self._ask(message, request, began)
        if got.kind == ReplyKind.ANSWER and got.result is not None:
            self.health.succeeded()
            if self.health.ignores_form(got.conforms):
                have = f"of its first {self.health.answers} answers {self.health.in_form} have it"
                self._give_up(f"ignores the form that is asked for: {have}; the last one is: {got.result['text']}")
            return without_key_in(got.result, self.key_env)
        if got.kind == ReplyKind.PASSING and number < self.tries:
            return self._rest(request, number + 1, got.wait, number)
        # A last try, or a refusal of who asks: the request's fault only where another is answered meanwhile.
        answered_meanwhile = self.health.proved >= began
        if got.kind != ReplyKind.REFUSED and not await self._is_usable(request, began):
            return self._rest(request, number, max(got.wait, self.probe_wait), self.probes)
        if got.kind == ReplyKind.PASSING and number == self.tries and not answered_meanwhile:
            return self._rest(request, number + 1, got.wait, number)  # what it met may just be over
        passing = got.kind == ReplyKind.PASSING
        result = unanswered(got, not passing and got.cause not in _QUOTA, f" after {number} tries" if passing else "")
        return without_key_in(result, self.key_env)

    async def _is_usable(self, request: EngineRequest, began: float = 0.0) -> bool:
        """Whether the endpoint has answered a try that began then or later; where none has, a harmless request with the same
        parameters decides, and an endpoint that refuses that one is given up."""
        if self.health.proved and self.health.proved >= began:
            return not self.died
        waiting_since = time.monotonic()
        async with self.proving:
            if self.health.proved and self.health.proved >= began:
                return not self.died
            if self.died or (self.probes and self.probed >= waiting_since):  # somebody else has just tried
                return False
            probe = harmless(request)
            got = await self._ask(self._message(probe), probe, time.monotonic())
            self.probed, self.probe_wait = time.monotonic(), got.wait
            self.probes = self.probes + 1 if got.kind == ReplyKind.PASSING else 0
            if got.kind in (ReplyKind.REFUSED, ReplyKind.UNUSABLE) and got.result is None:
                advice = self._advice(got.cause)
                self._give_up(f"refuses even a harmless request: {got.cause}: {got.message}{advice}")
            return got.kind != ReplyKind.PASSING and not self.died

    def _message(self, request: EngineRequest) -> tuple[str, bytes]:
        """Path and body. Raises ValueError for what cannot be sent."""
        path, body = http_request(self.model, request, self.is_vllm)
        return path, json.dumps(body, ensure_ascii=False, allow_nan=False).encode()

    async def _ask(self, message: tuple[str, bytes], request: EngineRequest, began: float) -> Reply:
        """What the server says to one HTTP request; keeps account of its health."""
        try:
            async with asyncio.timeout(self.timeout):
                got = await self._post(*message, request.get("structured"))
        except (TimeoutError, httpx2.TimeoutException):
            got = Reply(ReplyKind.PASSING, None, f"no answer within {self.timeout:g} s", pushes_back=True)
        except httpx2.RequestError as error:
            got = Reply(ReplyKind.PASSING, None, type(error).__name__, str(error), pushes_back=True)
        if got.result is not None:
            self.health.answered(began)
        elif got.pushes_back:
            self.health.pushed_back(began)
        if got.kind == ReplyKind.PASSING and (silent := self.health.gave_no_answer()):
            self._give_up(f"has not answered for {silent:.0f} s: {got.cause}: {got.message}")
        return got

    async def _post(self, path: str, content: bytes, structured: dict[str, Any] | None) -> Reply:
        began, url = time.monotonic(), httpx2.URL(self.url + path)
        for _ in range(_REDIRECTS):
            response = await self.client.post(url, content=content, headers=_JSON)
            target = url.join(response.headers.get("Location", ""))
            if not response.is_redirect or target.host != url.host or (url.scheme, target.scheme) == ("https", "http"):
                break
            url = target
        got = reply(response.status_code, response.headers, response.content, time.monotonic() - began, structured)
        return got._replace(message=f"it redirects to {target}") if response.is_redirect else got

    def _advice(self, cause: str) -> str:
        key = f"set the key in {self.key_env} in the executors' environment" if self.key_env else "set endpoint.key_env"
        return {
            "HTTP 401": f"; {key}",
            "HTTP 403": f"; {key}, or ask for the right to use {self.model}",
            "HTTP 404": f"; it has no model {self.model}, or endpoint.url is wrong (up to and including /v1)",
        }.get(cause, "")

    def _give_up(self, why: str) -> None:
        if not self.died:
            self.died = f"endpoint {self.host} {self._scrub(why)}"
            self.done.put(None)

    def _rest(self, request: EngineRequest, number: int, least: float, failed: int) -> EngineResult | None:
        """None: another try comes, after `least` seconds and a back-off with full jitter that grows with what `failed`."""
        if not self.died:
            wait = least + random.uniform(
                0.0, min(BACKOFF_CAP, self.health.patience / 10, BACKOFF_SECONDS * 2.0 ** (max(failed, 1) - 1))
            )
            self.resting += 1
            self.loop.call_later(wait, self._rested, request, number)
        return None

    def _rested(self, request: EngineRequest, number: int) -> None:
        self.resting -= 1
        self.due.append((request, number))
        self._fill()

    def _scrub(self, text: str) -> str:
        return without_key(text, self.key_env)
