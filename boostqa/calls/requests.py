"""rows -> REQUEST: the one place that composes a model request and its identity.

request_id = sha256 of (model, revision, engine settings that change output, sampling, constraint, rendered prompt,
continuation, sample index): the same ingredients are the same request, whoever asks; any other ingredient is a new one.
A local model is its files, wherever they lie and whatever their folder is called.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.calls.models import ModelSpec, canonical_json, is_fingerprint
from boostqa.config import Sampling
from boostqa.languages import in_language
from boostqa.prompts import Prompt

YES_NO = '{"choice": ["yes", "no"]}'
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=32)
REQUEST_COLUMNS = (
    "request_id", "stage", "model", "revision", "engine", "sampling", "structured", "template", "prompt",
    "continuation", "sample_index",
)  # fmt: skip


def _sampling(sampling: Sampling, chat: bool, reply_start: dict[str, str] | None) -> Column:
    settings = {"chat": chat, **sampling.model_dump()}
    if not reply_start:
        return F.lit(canonical_json(settings))
    by_lang = {lang: F.lit(canonical_json(settings | {"reply_start": start})) for lang, start in reply_start.items()}
    return in_language(F.col("lang"), by_lang["zh"], by_lang["en"])


def with_request(
    rows: DataFrame,
    stage: str,
    spec: ModelSpec,
    template: Prompt,
    prompt: Column,
    sampling: Sampling = GREEDY,
    chat: bool = True,
    structured: Column | None = None,
    continuation: Column | None = None,
    sample_index: Column | None = None,
    reply_start: dict[str, str] | None = None,
) -> DataFrame:
    """`rows` with REQUEST_COLUMNS added.

    `prompt` is the rendered `template`; `structured` a constraint as JSON (udfs/engines/messages.py, EngineRequest);
    `continuation` the text to score instead of generating; `reply_start`, by language, how the assistant's turn begins
    (the rows then have `lang`).
    """
    null = F.lit(None).cast("string")
    requests = rows.withColumns(
        {
            "stage": F.lit(stage),
            "model": F.lit(spec.model.id),
            "revision": F.lit(spec.model.revision).cast("string"),
            "engine": F.lit(spec.output_settings),
            "sampling": _sampling(sampling, chat, reply_start),
            "structured": null if structured is None else structured,
            "template": F.lit(template.name),
            # A byte that is no UTF-8 would end the Python worker, and the task with all its rows.
            "prompt": F.make_valid_utf8(prompt),
            "continuation": null if continuation is None else F.make_valid_utf8(continuation),
            "sample_index": F.lit(0) if sample_index is None else sample_index.cast("int"),
        }
    )
    nameless = {"model"} if is_fingerprint(spec.model.revision) else set()
    identity = [c for c in REQUEST_COLUMNS if c not in {"request_id", "stage", "template"} | nameless]
    # to_json keeps nulls apart from empty strings and separates the fields without ambiguity.
    digest = F.sha2(F.to_json(F.struct(*identity), {"ignoreNullFields": "false"}), 256)
    return requests.withColumn("request_id", digest)
