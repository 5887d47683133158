"""`boostqa scorecard`: labelled items -> what the annotators say of them, and what that is worth (report/scorecard.py).

Of each source as many items of one discipline as of another are drawn by hash. The annotator is asked as it is for seeds
and through the same ledger, so that a second scorecard pays nothing; the distilled annotator is scored where there is one,
alone and as the line uses it: where it is not sure, the annotator is asked. Nothing is written but the ledger.
"""

import time
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from boostqa import distilled
from boostqa.basis import conf_hash
from boostqa.calls.generation import complete
from boostqa.calls.models import model_of_role
from boostqa.config import Config
from boostqa.errors import ConfigError
from boostqa.report import scorecard
from boostqa.report.scorecard import Said
from boostqa.session import spark_session
from boostqa.stages import annotate, distil
from boostqa.storage.catalog import check_lasting
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.mlflow_runs import log_metrics, log_texts, pipeline_mlflow_run
from boostqa.tracking.stage_run import StageRun, code_revision, new_run_id
from boostqa.train_annotator import labelled_items
from boostqa.vocabulary import AnnotatedBy
from udfs.generate import Connect

STAGE, FIGURE = "scorecard", "scorecard.svg"
BOTH = f"{AnnotatedBy.DISTILLED}, else {AnnotatedBy.LLM}"


def drawn(items: DataFrame, count: int) -> DataFrame:
    """At most `count` items of each benchmark: by hash one of each discipline and level, then a second one, and so on."""
    lot = (F.xxhash64("item_id", F.lit(STAGE)), F.col("item_id"))
    turn = F.row_number().over(Window.partitionBy("benchmark", "discipline", "difficulty").orderBy(*lot))
    place = F.row_number().over(Window.partitionBy("benchmark").orderBy("turn", *lot))
    return (
        items.withColumn("turn", turn).withColumn("place", place).where(F.col("place") <= count).drop("turn", "place")
    )


def _asked(stage: StageRun, items: DataFrame) -> tuple[DataFrame, float | None]:
    """What the annotator says: [item_id, label, probability, level_said], and how many items it labelled in a second; None where
    the ledger held all."""
    spec = model_of_role(stage.config, "annotator")
    requests = annotate.requests(annotate.items_of(items, "item_id"), STAGE, spec, stage.config.annotate)
    completions = complete(stage, requests, spec)
    answers = annotate.by_item(requests, completions, stage.config.annotate).select(
        "item_id",
        F.col("discipline_best").alias("label"),
        F.col("discipline_probability").alias("probability"),
        F.col("difficulty_expected").alias("level_said"),
    )
    usage = stage.usage
    asked = (usage.counts["requests"] - usage.counts["reused"]) / 2  # two requests an item
    return answers, asked / usage.generation_seconds if asked else None


def _said(items: DataFrame, answers: DataFrame, annotator: str, least: float = 0.0) -> list[Said]:
    """Items and answers (unique by item_id); a label counts from the probability `least` on."""
    level = F.regexp_extract(F.coalesce("difficulty", F.lit("")), "[0-9]+", 0).try_cast("int")
    told = F.col("label").isNotNull() & (F.col("probability") >= least)
    rows = items.join(answers, "item_id", "left").select(
        F.lit(annotator).alias("annotator"), "benchmark", "lang", "discipline", level.alias("level"), "label", "probability",
        F.col("level_said").alias("difficulty"), F.coalesce(told, F.lit(False)).alias("told"),
    )  # fmt: skip
    return [Said(**row.asDict()) for row in rows.collect()]


def _sources_of(config: Config, stage: StageRun) -> DataFrame:
    if not config.scorecard.sources:
        raise ConfigError(
            "scorecard.sources names no labelled items: name some whose `subject` or `discipline` is mapped, such as MMLU's"
        )
    items = labelled_items(stage.spark, config.scorecard.sources)
    known = items.where(F.col("discipline").isNotNull() | F.col("difficulty").isNotNull())
    sample = drawn(known, config.scorecard.items).persist()
    if sample.isEmpty():
        raise ConfigError(
            "scorecard.sources: no item has a discipline or level, or a subject that boostqa/taxonomy knows"
        )
    return sample


def score(config: Config, connect: Connect | None = None) -> dict[str, Any]:
    """{"rows": figures, "rates": items a second by annotator, "figure": path of the confusion matrices}. Raises the errors of
    errors.py. `connect` replaces the engines of the annotator (tests)."""
    run_id = f"{new_run_id()}-{STAGE}"
    spark = spark_session(f"boostqa {run_id}", config.spark.master, config.spark.conf)
    check_lasting(spark, config.warehouse, config.generation.ledger)
    tables = Warehouse(spark, config.warehouse, config.generation.ledger)
    stage = StageRun(spark, config, STAGE, run_id, tables, connect=connect)
    items = _sources_of(config, stage)
    with pipeline_mlflow_run(config, run_id, code_revision(), conf_hash(config)):
        answers, rate = _asked(stage, items)
        name = config.role("annotator").id
        least = config.annotate.min_llm_probability
        said, rates = _said(items, answers.persist(), name, least), {name: rate}
        if distilled.content(config):
            least_distilled, began = config.annotate.min_probability, time.monotonic()
            labels = distil.labelled(items, distilled.load(config)).select(
                "item_id", F.col("discipline").alias("label"), F.col("discipline_probability").alias("probability")
            )
            labels = labels.withColumn("level_said", F.lit(None).cast("double")).persist()
            rates[AnnotatedBy.DISTILLED] = labels.count() / (time.monotonic() - began)
            sure = labels.where(F.col("probability") >= least_distilled)
            merged = sure.unionByName(answers.join(sure, "item_id", "left_anti"))
            said += _said(items, labels, AnnotatedBy.DISTILLED, least_distilled)
            said += _said(items, merged, BOTH, least)
        rows = scorecard.figures(said)
        matrices = scorecard.matrices(said)
        log_metrics(scorecard.metrics(rows, rates))
        log_texts({FIGURE: matrices})
        figure = Path(config.output) / "quality" / FIGURE
        figure.parent.mkdir(parents=True, exist_ok=True)
        figure.write_text(matrices, encoding="utf-8")
    return {"rows": rows, "rates": rates, "figure": str(figure)}
