"""rows -> REQUEST: the one place that composes a model request and its identity.

request_id = sha256 of (model, revision, engine settings that change output, sampling, constraint, template hash, rendered
prompt, continuation, sample index): the same ingredients are the same request, whoever asks; any other ingredient is a
new one.
"""

import json
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Engine, Model, Sampling
from boostqa.prompts import Prompt

# Engine arguments that change speed or placement, not the text.
_EXECUTION = {
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enforce_eager",
    "enable_prefix_caching",
}
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=32)
REQUEST_COLUMNS = (
    "request_id", "stage", "model", "revision", "engine", "sampling", "structured", "template", "prompt",
    "continuation", "sample_index",
)  # fmt: skip


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class Speaker:
    """A model with the engine settings it runs under; what a stage needs to know of it."""

    model: Model
    engine: Engine

    @property
    def settings(self) -> str:
        """Engine settings that change output, canonical JSON."""
        flat = self.engine.model_dump(exclude={"args"}) | self.engine.args
        return canonical({k: v for k, v in flat.items() if k not in _EXECUTION})


def request(
    rows: DataFrame,
    stage: str,
    speaker: Speaker,
    prompt: Prompt,
    text: Column,
    sampling: Sampling = GREEDY,
    chat: bool = True,
    structured: Column | None = None,
    continuation: Column | None = None,
    sample_index: Column | None = None,
    reply_start: dict[str, str] | None = None,
) -> DataFrame:
    """`rows` with REQUEST_COLUMNS added; `text` is the rendered prompt, `structured` a JSON string column (schemas in
    udfs/engines/vllm_engine.py), `continuation` the text to score instead of generating, `reply_start` by language how
    the assistant's turn begins (the rows then have `lang`)."""
    settings = {"chat": chat, **sampling.model_dump()}
    said = F.lit(canonical(settings))
    if reply_start:
        by_lang = {lang: F.lit(canonical(settings | {"reply_start": start})) for lang, start in reply_start.items()}
        said = F.when(F.col("lang") == "zh", by_lang["zh"]).otherwise(by_lang["en"])
    null = F.lit(None).cast("string")
    asked = rows.withColumns(
        {
            "stage": F.lit(stage),
            "model": F.lit(speaker.model.id),
            "revision": F.lit(speaker.model.revision).cast("string"),
            "engine": F.lit(speaker.settings),
            "sampling": said,
            "structured": null if structured is None else structured,
            "template": F.lit(prompt.sha256),
            "prompt": text,
            "continuation": null if continuation is None else continuation,
            "sample_index": F.lit(0) if sample_index is None else sample_index.cast("int"),
        }
    )
    identity = [c for c in REQUEST_COLUMNS if c not in ("request_id", "stage")]
    # to_json keeps nulls apart from empty strings and separates the fields without ambiguity.
    digest = F.sha2(F.to_json(F.struct(*identity), {"ignoreNullFields": "false"}), 256)
    return asked.withColumn("request_id", digest)
