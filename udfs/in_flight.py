"""The requests of a task that are with its engine: sent, taken back as they finish, sent again when the engine dies.

Who is to blame for a death is told in steps. All that were in flight go again, in a full window. A request that was in
flight at `max_attempts - 1` deaths is suspected: it waits until the others are done and goes alone. If the engine dies
then, the request failed. An engine that gave no sign of life says nothing of the requests it was sent: it may be the
last death met again, or lack what the last engine has not yet given back.
"""

import json
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from udfs.engines.messages import (
    EMPTY_RESULT,
    TOKEN_COUNTS,
    UNUSABLE,
    CallSettings,
    Engine,
    EngineDied,
    EngineLacksMemory,
    EngineRequest,
    EngineResult,
    EngineUnusable,
    FinishReason,
)  # fmt: skip
from udfs.staging import Staging

TASK_COUNTS = ("engine_starts", "completed", "failed", *TOKEN_COUNTS, "retry_tokens")
CHARACTERS_PER_TOKEN = 3  # for predictions only; the engine counts exactly before it accepts
LEARNED_FROM = 32  # finished requests from which on their length is trusted instead of max_tokens
WINDOW_OF_CAPACITY = 1.25  # of what the KV cache holds: predictions are rough, and an engine without a queue idles
DEFAULT_WINDOW = 262144  # tokens, of an engine that does not say what it holds
DEFAULT_SEQUENCES = 256  # of vLLM's max_num_seqs, for the idle tail only
RESTART_SECONDS = (5.0, 20.0, 60.0)  # waits before another try to start an engine: memory of the last one is freed late


class InFlightRequest(NamedTuple):
    """A request on its way: its REQUEST row, its message, predicted prompt tokens, output limit, attempts begun, deaths of
    engines that it was with, and whether it is suspected of them."""

    row: dict[str, Any]
    message: EngineRequest
    prompt_tokens: int
    max_tokens: int
    attempts: int = 0
    deaths: int = 0
    alone: bool = False


def engine_request(row: dict[str, Any]) -> EngineRequest:
    """A REQUEST row as an engine takes it."""
    sampling = json.loads(row["sampling"])
    message: EngineRequest = {"request_id": row["request_id"], "prompt": row["prompt"], "sampling": sampling}
    if row["structured"]:
        message["structured"] = json.loads(row["structured"])
    if row["continuation"] is not None:
        message["continuation"] = row["continuation"]
    return message


def _in_flight_request(row: dict[str, Any]) -> InFlightRequest:
    message = engine_request(row)
    prompt_tokens, limit = len(row["prompt"]) // CHARACTERS_PER_TOKEN, int(message["sampling"]["max_tokens"])
    return InFlightRequest(row, message, prompt_tokens, limit)


def completion(
    row: dict[str, Any], result: EngineResult, attempts: int, run_id: str, at: datetime | None = None
) -> dict[str, Any]:
    """A REQUEST row and its result -> a COMPLETION row, which ended `at` that time, or now."""
    attempt = {"attempts": attempts, "run_id": run_id, "finished_at": at or datetime.now(UTC)}
    done = row | EMPTY_RESULT | cast(dict[str, Any], result) | attempt
    # A served model may send half a surrogate pair, which no table holds.
    return done | {"text": done["text"].encode("utf-8", "replace").decode("utf-8")}


class InFlight:
    """Requests in flight on one engine at a time, bounded by predicted tokens: `tokens_in_flight`, or what it holds.

    Predicted are prompts by their characters, outputs by their limit times the share of it that finished requests used.
    Suspected requests are not in the window.
    """

    def __init__(self, connect: Callable[[], Engine], staging: Staging, settings: CallSettings) -> None:
        self.connect, self.staging, self.settings = connect, staging, settings
        self.engine: Engine | None = None
        self.requests: dict[str, InFlightRequest] = {}
        self.unsent: deque[str] = deque()
        self.suspected: deque[str] = deque()
        self.sent: set[str] = set()
        self.draining = False
        self.prompt_tokens = self.max_tokens = 0  # of the window
        self.finished = self.finished_tokens = self.finished_max_tokens = 0
        self.progress, self.progressed = 0, time.monotonic()
        self.lived, self.stillborn = False, 0  # of the present engine; engines in a row without a sign of life
        self.counts = dict.fromkeys(TASK_COUNTS, 0)
        self.server_reasons: Counter[str] = Counter()  # ends by other names, see EngineResult
        self.idle_seconds = 0.0

    def add(self, row: dict[str, Any]) -> None:
        """Send a REQUEST row, first waiting until its predicted tokens fit."""
        new = _in_flight_request(row)
        while self.max_tokens and self._predicted_tokens(new) > self._window():
            self.take(1.0)
        self.requests[row["request_id"]] = new
        self.unsent.append(row["request_id"])
        self._weigh(new, 1)
        self._exchange()

    def drain(self) -> None:
        """Take all that is in flight; counts as idle the share of the engine that has nothing to do any more."""
        sequences = int(self.settings["engine"].get("args", {}).get("max_num_seqs", DEFAULT_SEQUENCES))
        width = max(1, min(len(self.requests), sequences))
        self.draining = True
        while self.requests:
            began, busy = time.monotonic(), min(1.0, len(self.requests) / width)
            self.take(1.0)
            self.idle_seconds += (1 - busy) * (time.monotonic() - began)

    def take(self, timeout: float) -> None:
        """Move what finished within `timeout` seconds into staging."""
        for result in self._exchange(timeout):
            if result["request_id"] in self.requests:
                self._finish(result["request_id"], result)
        self.staging.flush()

    def _window(self) -> float:
        holds = self.engine and self.engine.capacity
        return self.settings["tokens_in_flight"] or (holds * WINDOW_OF_CAPACITY if holds else DEFAULT_WINDOW)

    def _predicted_tokens(self, new: InFlightRequest) -> float:
        used_share = 1.0
        if self.finished >= LEARNED_FROM:
            used_share = self.finished_tokens / max(1, self.finished_max_tokens)
        return self.prompt_tokens + new.prompt_tokens + used_share * (self.max_tokens + new.max_tokens)

    def _weigh(self, request: InFlightRequest, sign: int) -> None:
        self.prompt_tokens += sign * request.prompt_tokens
        self.max_tokens += sign * request.max_tokens

    def _send(self, engine: Engine) -> None:
        if self.draining and not self.unsent and not self.sent and self.suspected:
            self.unsent.append(self.suspected.popleft())
        while self.unsent:
            request = self.requests[self.unsent[0]]
            self.requests[self.unsent[0]] = request._replace(attempts=request.attempts + 1)
            self.sent.add(self.unsent.popleft())
            engine.submit(request.message)

    def _connected(self) -> Engine:
        """An engine; one that replaces another, or lacked memory, is tried again a few times.

        Raises EngineDied when none can be started.
        """
        for wait in (*RESTART_SECONDS, None):
            try:
                return self.connect()
            except EngineUnusable:
                raise
            except EngineDied as error:
                again = self.counts["engine_starts"] or isinstance(error, EngineLacksMemory)
                if wait is None or not again:
                    raise
                time.sleep(wait)
        raise AssertionError("the last try returned or raised")

    def _exchange(self, timeout: float | None = None) -> list[EngineResult]:
        """Send what is unsent, then wait up to `timeout` seconds for results; none when the engine died.

        Raises EngineDied when no engine can be started, or none would do.
        """
        if self.engine is None:
            self.engine = self._connected()
            self.counts["engine_starts"] += self.engine.started
            self.progress, self.progressed = self.engine.progress, time.monotonic()
            self.lived = False
        try:
            self._send(self.engine)
            results = self.engine.poll(timeout) if timeout is not None else []
            moved = bool(results) or self.engine.progress != self.progress
            self.lived |= moved
            if moved or not self.requests:
                self.progress, self.progressed = self.engine.progress, time.monotonic()
            elif timeout is not None and time.monotonic() - self.progressed > self.settings["stall_seconds"]:
                self.engine.kill()
                raise EngineDied(f"no token for {self.settings['stall_seconds']:.0f} s")
            return results
        except EngineUnusable:
            raise
        except EngineDied as error:
            self._give_up_engine(str(error))
            return []

    def _give_up_engine(self, cause: str) -> None:
        """Count what a dead engine took along, fail requests without another attempt, and queue the rest anew."""
        assert self.engine is not None
        self.counts["retry_tokens"] += self.engine.in_flight_tokens
        self.engine.close()
        self.engine = None
        self.stillborn = 0 if self.lived else self.stillborn + 1
        tells = self.lived or self.stillborn > 1
        again = [r for r in self.requests if r in self.sent]
        self.sent.clear()
        for request_id in again:
            request = self.requests[request_id]
            request = self.requests[request_id] = request._replace(deaths=request.deaths + tells)
            left = self.settings["max_attempts"] - request.deaths
            if left <= 0:
                self._finish(request_id, {"finish_reason": FinishReason.FAILED, "error": f"engine_died: {cause}"})
            elif left == 1 and request.deaths:
                self._suspect(request)
            else:
                self.unsent.append(request_id)

    def _suspect(self, request: InFlightRequest) -> None:
        if not request.alone:
            self._weigh(request, -1)
        self.requests[request.row["request_id"]] = request._replace(alone=True)
        self.suspected.append(request.row["request_id"])

    def _finish(self, request_id: str, result: EngineResult) -> None:
        request = self.requests.pop(request_id)
        self.sent.discard(request_id)
        if not request.alone:
            self._weigh(request, -1)
        done = completion(request.row, result, request.attempts, self.settings["run_id"])
        self.staging.add(done)
        if reason := done["server_reason"]:
            self.server_reasons[reason] += 1
        self.finished += 1
        self.finished_tokens += done["generated_tokens"]
        self.finished_max_tokens += request.max_tokens
        self.counts["failed" if done["finish_reason"] in UNUSABLE else "completed"] += 1
        for name in TOKEN_COUNTS:
            self.counts[name] += done[name]
