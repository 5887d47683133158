"""rows -> REQUEST: the one place that composes a model request and its identity.

request_id = sha256 of (model, revision, engine settings that change output, sampling, constraint, template hash, rendered
prompt, continuation, sample index): the same ingredients are the same request, whoever asks; any other ingredient is a
new one.
"""

import json
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Engine, Model, Sampling
from boostqa.prompts import Prompt
from udfs.generate import CHARACTERS_PER_TOKEN

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
        """Engine settings that change output, canonical JSON; those of an endpoint are its own and not known here."""
        if self.model.endpoint:
            return canonical({"endpoint": True})
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
            # A byte that is no UTF-8 would end the Python worker, and the task with all its rows.
            "prompt": F.make_valid_utf8(text),
            "continuation": null if continuation is None else F.make_valid_utf8(continuation),
            "sample_index": F.lit(0) if sample_index is None else sample_index.cast("int"),
        }
    )
    identity = [c for c in REQUEST_COLUMNS if c not in ("request_id", "stage")]
    # to_json keeps nulls apart from empty strings and separates the fields without ambiguity.
    digest = F.sha2(F.to_json(F.struct(*identity), {"ignoreNullFields": "false"}), 256)
    return asked.withColumn("request_id", digest)


SLICES = 32  # of an engine's work at most; engines differ by a request a slice
SLICE_REQUESTS = 8  # of a slice at least, on average
BUCKETS = 256  # of prefixes within a size class, so that running sums are not made in one task
PREFIX_CHARACTERS = 1000  # requests that begin alike this far stand together for the engine's prefix cache


def deal(requests: DataFrame, ledger: DataFrame, engines: int) -> DataFrame:
    """REQUEST rows in `engines` partitions of equal predicted tokens, each with its longest outputs first.

    Predicted tokens: a third of the prompt's characters, and of the output limit the share that completions of the same
    model, template and constraint used in the `ledger` (1 where there is none). Requests of a size class (a power of two
    of predicted output tokens) are ordered by prefix, all classes are cut into slices of equal tokens, and these are dealt
    out in turn.
    """
    kind = ["model", "template", "structured"]
    limit = F.get_json_object("sampling", "$.max_tokens").cast("double")
    used = ledger.groupBy(*kind).agg((F.sum("generated_tokens") / F.sum(limit)).alias("used"))
    same = [F.col(f"r.{c}").eqNullSafe(F.col(f"u.{c}")) for c in kind]
    rows = requests.alias("r").join(F.broadcast(used).alias("u"), on=same, how="left")  # used: unique by kind
    rows = rows.select("r.*", (limit * F.coalesce("used", F.lit(1.0))).alias("output"))
    rows = rows.withColumns(
        {
            "tokens": F.length("prompt") / CHARACTERS_PER_TOKEN + F.col("output"),
            "class": F.floor(F.log2(F.greatest("output", F.lit(1.0)))),
            "prefix": F.xxhash64(F.substring("prompt", 1, PREFIX_CHARACTERS)),
        }
    )
    order: list[Column | str] = [F.desc("class"), "prefix", "request_id"]
    if engines == 1:
        return rows.repartition(1).sortWithinPartitions(*order).select(*REQUEST_COLUMNS)
    rows = rows.withColumn("bucket", F.pmod("prefix", F.lit(BUCKETS)))
    order = [F.desc("class"), "bucket", "prefix", "request_id"]
    sums = rows.groupBy("class", "bucket").agg(F.sum("tokens").alias("sum"), F.count("*").alias("rows"))
    before = Window.orderBy(F.desc("class"), "bucket").rowsBetween(Window.unboundedPreceding, -1)  # a row a bucket
    offsets = sums.select("class", "bucket", F.coalesce(F.sum("sum").over(before), F.lit(0.0)).alias("offset"))
    slices = F.greatest(F.lit(1), F.least(F.lit(SLICES), F.floor(F.sum("rows") / (engines * SLICE_REQUESTS))))
    total = sums.agg(F.sum("sum").alias("total"), (slices * engines).alias("slices"))
    inside = Window.partitionBy("class", "bucket").orderBy("prefix", "request_id")
    running = F.col("offset") + F.sum("tokens").over(inside.rowsBetween(Window.unboundedPreceding, -1))
    placed = rows.join(F.broadcast(offsets), ["class", "bucket"], "inner").crossJoin(F.broadcast(total))
    share = F.coalesce(running, F.col("offset")) / F.col("total")  # the first row of a bucket has none before it
    partition = (F.floor(share * F.col("slices")) % engines).cast("int")
    dealt = placed.withColumn("partition", partition).repartitionById(engines, "partition")
    return dealt.sortWithinPartitions(*order).select(*REQUEST_COLUMNS)
