"""What worker, host and engine say to each other, and the words that a completion ends with.

    worker <-- Hello --------- from a host, as soon as a worker has connected
    worker -- EngineRequest --> host or served endpoint --> engine
    worker <-- EngineResult --  as soon as a request is done, in any order
    worker <-- Pulse ---------  every second from a host with unfinished requests of this connection

On the host's socket each message is one line of JSON; its standard input is one `HostStart`. A request whose
`continuation` is set is scored, not generated: its result has `logprob` (or `choice_logprobs`) and no text. The result of
one with a `choice` has the likeliest as text and, from our own engines, `choice_logprobs` of all.
"""

from enum import StrEnum
from typing import Any, NotRequired, Protocol, TypedDict


class FinishReason(StrEnum):
    """How a completion ended."""

    STOP = "stop"  # the model ended it, or the constraint was fulfilled
    LENGTH = "length"  # cut off at max_tokens
    REPETITION = "repetition"  # cut off because it went round in circles (engine.repetition_detection)
    SCORED = "scored"  # likelihoods instead of text
    REFUSED = "refused"  # the request can never be served; `error` says why
    FAILED = "failed"  # the engine's fault: asked again by the next call


UNUSABLE = (FinishReason.REFUSED, FinishReason.FAILED)  # no completion came of it
CUT_OFF = (FinishReason.LENGTH, FinishReason.REPETITION)  # the beginning of a text
WRITTEN = (FinishReason.STOP, *CUT_OFF)


LOCAL_REVISION = (
    "local:"  # begins the revision of a local folder, which is its content (calls/models.py): none of a hub
)
TOKEN_COUNTS = ("prompt_tokens", "cached_tokens", "generated_tokens", "thinking_tokens")  # of an EngineResult
# How our own engines constrain, unless `engine.args` says otherwise. A weak model wanders in optional whitespace until it is
# cut off: none is allowed.
STRUCTURED_OUTPUTS = {"backend": "xgrammar", "disable_any_whitespace": True}


class EngineRequest(TypedDict):
    """One request as an engine takes it."""

    request_id: str
    prompt: str
    sampling: dict[str, Any]  # chat, reply_start (how the assistant's turn begins); the rest is vLLM's SamplingParams
    structured: NotRequired[dict[str, Any] | None]  # {"json": schema} | {"choice": [...]} | {"letters": [...]}
    continuation: NotRequired[str | None]  # text to score after the prompt instead of generating


class EngineResult(TypedDict):
    """What became of one request. A field that is left out has its value in EMPTY_RESULT."""

    request_id: NotRequired[str]  # added by the host or client; an engine knows only one request at a time
    finish_reason: str  # a FinishReason
    text: NotRequired[str]  # without thinking
    error: NotRequired[str | None]  # why there is no usable text
    server_reason: NotRequired[
        str | None
    ]  # what a server called the end of a whole text, where it has another name for it
    logprob: NotRequired[float | None]  # nats, summed over generated or scored tokens
    choice_logprobs: NotRequired[dict[str, float] | None]  # nats, by letter, or by choice: then normalised over all
    prompt_tokens: NotRequired[int]
    cached_tokens: NotRequired[int]  # prompt tokens served from the prefix cache
    generated_tokens: NotRequired[int]  # thinking included
    thinking_tokens: NotRequired[int]
    engine_seconds: NotRequired[float]  # from submission to the engine to the end


EMPTY_RESULT: dict[str, Any] = {
    "text": "", "error": None, "server_reason": None, "logprob": None, "choice_logprobs": None, "prompt_tokens": 0, "cached_tokens": 0,
    "generated_tokens": 0, "thinking_tokens": 0, "engine_seconds": 0.0,
}  # fmt: skip


class Hello(TypedDict):
    """What a host says of its engine to a new connection."""

    capacity: int | None  # tokens that its KV cache holds


class Pulse(TypedDict):
    """A sign of life. One that stands still tells a hung engine; the last one tells what a dead engine took along."""

    pulse: int  # tokens the host has generated in all
    in_flight: int  # tokens so far of this connection's unfinished requests


class HostStart(TypedDict):
    """What a worker tells the host it starts."""

    model: str
    revision: str | None
    engine: dict[str, Any]  # config.EngineSettings
    idle_seconds: float  # lease: the host ends when nobody was connected for so long
    socket: str  # path that appears when the engine is ready
    owner: int  # pid of the executor's JVM, whose end ends the host


class CallSettings(TypedDict):
    """One model call, as the driver hands it to the tasks: who is asked, where results go, and the limits of the
    conf."""

    model: str
    revision: str | None
    engine: dict[str, Any]  # config.EngineSettings
    endpoint: dict[str, Any] | None  # config.Endpoint; None: an engine host of the executor
    tasks: int  # of the call, which share an endpoint
    env: dict[str, str]  # of the engine host
    resident_engines: int
    idle_seconds: float
    start_seconds: float
    stall_seconds: float
    max_attempts: int
    tokens_in_flight: int | None  # None: what the engine holds
    flush_rows: int
    flush_seconds: float
    staging: str  # folder or URI of part files
    schema: bytes  # serialised Arrow schema of COMPLETION
    run_id: str


class EngineDied(Exception):
    """The engine is gone or could not start; the message says what its log says."""


class EngineLacksMemory(EngineDied):
    """The engine found less memory free than it wants; what holds it may give it back."""


class EngineUnusable(EngineDied):
    """No request can succeed and no new engine would help: a refused key, a model the server does not have."""


class RequestRefused(Exception):
    """A request that an engine cannot serve; it costs one row, not the batch."""


class Engine(Protocol):
    """What a task needs of an engine: HostClient, OpenAIEngine, or a fake in tests."""

    started: bool  # whether connecting started an engine
    progress: int  # grows as long as the engine works
    in_flight_tokens: int  # tokens that the unfinished requests of this client have so far
    capacity: int | None  # tokens of all requests together that it can hold at once, where it says so

    def submit(self, request: EngineRequest) -> None:
        """Send one request."""

    def poll(self, timeout: float) -> list[EngineResult]:
        """Results that arrived, waiting up to `timeout` seconds for the first."""
        ...

    def kill(self) -> None:
        """End an engine that answers no more."""

    def close(self) -> None:
        """Leave the engine to others."""
