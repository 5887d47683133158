"""Tables of model calls: the ledger of completions, its conflicts, what each engine did, where the tokens went."""

from pyspark.sql import types as T

from boostqa.schemas.table import (
    DOUBLE,
    INT,
    LONG,
    STRING,
    Table,
    column,
)
from boostqa.vocabulary import CAUSES, FINISH_REASONS

COMPLETION = Table(
    "completion",
    "the ledger: one completion per request, written once, shared by all stages and runs",
    ("request_id",),
    (
        column(
            "request_id",
            STRING,
            "sha256 of model, revision, engine settings, sampling, constraint, prompt, continuation, sample index",
        ),
        column("stage", STRING, "stage that asked first"),
        column("model", STRING, "model id or folder"),
        column("revision", STRING, "model revision; null when the conf pins none", null=True),
        column("engine", STRING, "engine settings that change output, canonical JSON"),
        column("sampling", STRING, "sampling parameters, canonical JSON"),
        column("structured", STRING, "structured-output constraint, JSON; null for free text", null=True),
        column("template", STRING, "name of the prompt template"),
        column("prompt", STRING, "rendered prompt"),
        column(
            "continuation", STRING, "text whose likelihood was scored after the prompt; null when generating", null=True
        ),
        column("sample_index", INT, "0-based sample of the same prompt"),
        column("text", STRING, "generated text without thinking; empty when scoring"),
        column("finish_reason", STRING, " | ".join(FINISH_REASONS) + "; error says why for refused and failed"),
        column("error", STRING, "why there is no usable text", null=True),
        column("server_reason", STRING, "what a server called the end of a whole text, where not stop", null=True),
        column("logprob", DOUBLE, "sum of log-probabilities (nats) of the generated or scored tokens", True, True),
        column(
            "choice_logprobs",
            T.MapType(STRING, DOUBLE),
            "log-probability (nats) of each letter as next token, or of each choice, normalised over all choices",
            True,
            True,
        ),
        column("prompt_tokens", LONG, "tokens of the prompt"),
        column("generated_tokens", LONG, "tokens generated, thinking included; 0 when scoring"),
        column("thinking_tokens", LONG, "tokens inside the thinking section"),
        column("cached_tokens", LONG, "prompt tokens served from the prefix cache", volatile=True),
        column("engine_seconds", DOUBLE, "seconds between submission to the engine and the end", volatile=True),
        column("attempts", INT, "times the request was sent to an engine", volatile=True),
        column("run_id", STRING, "run that paid for it", volatile=True),
        column("finished_at", T.TimestampType(), "UTC time at which the completion ended", volatile=True),
    ),
)

CONFLICT = Table(
    "conflict",
    "a completion of a request that the ledger holds already with another content; it is never used",
    ("request_id", "run_id", "finished_at"),
    COMPLETION.columns,
)

ENGINE_TASK = Table(
    "engine_task",
    "what one task on one engine did for one call of a model by a stage",
    ("run_id", "stage", "call", "partition"),
    (
        column("run_id", STRING, "run", volatile=True),
        column("stage", STRING, "stage that asked"),
        column("call", INT, "0-based call of a model within the stage"),
        column("partition", INT, "0-based partition of the call's requests"),
        column("model", STRING, "model id or folder"),
        column("executor", STRING, "host name of the executor", volatile=True),
        column("gpus", STRING, "GPU addresses of the engine, comma-separated; empty on CPUs", volatile=True),
        column("completed", LONG, "requests that got a completion", volatile=True),
        column("failed", LONG, "requests refused, or given up after the last attempt", volatile=True),
        column("prompt_tokens", LONG, "tokens of the prompts", volatile=True),
        column("cached_tokens", LONG, "of these served from the prefix cache", volatile=True),
        column("generated_tokens", LONG, "tokens generated, thinking included", volatile=True),
        column("thinking_tokens", LONG, "of these inside thinking sections", volatile=True),
        column("retry_tokens", LONG, "tokens of unfinished requests that dead engines took along", volatile=True),
        column("engine_starts", LONG, "engines started", volatile=True),
        column("seconds", DOUBLE, "seconds from the first request to the last completion", volatile=True),
        column("idle_seconds", DOUBLE, "of these lost at the end, when too little was left to do", volatile=True),
        column("tokens_per_second", DOUBLE, "generated_tokens / seconds", volatile=True),
    ),
    by_round=True,
)

TOKEN_USAGE = Table(
    "token_usage",
    "one cause, one stage that asked: where the tokens went that the current tables account for",
    ("stage", "cause"),
    (
        column("stage", STRING, "stage that asked first"),
        column("cause", STRING, " | ".join(CAUSES) + " | the name of a rule or template of another release"),
        column(
            "completions", LONG, "completions; one with thinking counts there and again where its other tokens went"
        ),
        column(
            "prompt_tokens",
            LONG,
            "tokens of the prompts; of a completion with thinking counted where its other tokens went",
        ),
        column("cached_tokens", LONG, "of these served from the prefix cache", volatile=True),
        column("tokens", LONG, "generated tokens"),
        column("share", DOUBLE, "share of all generated tokens in this table, 0..1"),
    ),
)
