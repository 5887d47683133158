"""`boostqa distil`: labelled items -> the distilled annotator (stages/distil.py), measured and saved.

The labels come from the items of `distil.sources`, or, without any, from what the annotator said of seeds. A share of
them is held out, whole documents by hash, to measure how far the small model agrees with its teacher. Out of the training
stays what resembles a held-out item or an item of the scorecard (stages/similarity.py): of a copy the label is known.
"""

import time
from functools import reduce
from typing import Any

import psutil
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from boostqa import distilled
from boostqa.agreement import kappa, kappa_of
from boostqa.basis import conf_hash
from boostqa.config import Config, Source
from boostqa.errors import ConfigError
from boostqa.schemas.table import STRINGS
from boostqa.session import spark_session
from boostqa.sources import read_items
from boostqa.stages import distil, probe_labels, similarity
from boostqa.storage.warehouse import Warehouse
from boostqa.taxonomy import disciplines
from boostqa.tracking.mlflow_runs import log_metrics, pipeline_mlflow_run
from boostqa.tracking.stage_run import code_revision, new_run_id
from boostqa.vocabulary import ItemTable

SALT = "distil"
_LABELLED = ("item_id", "document", "lang", "question", "choices", "text", "discipline")


def labelled_items(spark: SparkSession, sources: list[Source]) -> DataFrame:
    """Items of the sources [benchmark, item_id, lang, question, choices, text, discipline, difficulty] with what is known
    of them: by their own fields, else by their subject (boostqa/taxonomy); either label may be null.

    Raises ConfigError for a discipline that is no detailed field.
    """
    items = reduce(DataFrame.unionByName, [read_items(spark, source) for source in sources])
    known = probe_labels.label_by_subject(items.withColumn("item_id", F.concat_ws("/", "benchmark", "item_id")))
    if unknown := known.where(~F.col("discipline").isin([d.code for d in disciplines()])).first():
        raise ConfigError(
            f"{unknown['benchmark']}: item {unknown['item_id']} has discipline {unknown['discipline']!r}; expected the code of "
            "a detailed field (boostqa/taxonomy/isced_f.csv), such as 0533"
        )
    text = F.concat_ws("\n", "question", F.array_join("choices", "\n"))
    return known.select(
        "benchmark", "item_id", "lang", "question", "choices", text.alias("text"), "discipline", "difficulty"
    )


def _taught(spark: SparkSession, config: Config) -> DataFrame:
    """[item_id, document, lang, question, choices, text, discipline]: what is learned from."""
    if config.distil.sources:
        items = labelled_items(spark, config.distil.sources).where(F.col("discipline").isNotNull())
        return items.withColumn("document", F.col("item_id")).select(*_LABELLED)
    tables = Warehouse(spark, config.warehouse, config.generation.ledger)
    if not tables.exists("annotation"):
        raise ConfigError(
            "distil.sources names no labelled items, and no seed of the warehouse has a label yet: name some, or run "
            "boostqa run --to annotate"
        )
    by_teacher = (F.col("item_table") == ItemTable.SEED) & (F.col("annotator") == config.role("annotator").id)
    labels = tables.read("annotation").where(by_teacher).select(F.col("item_id").alias("seed_id"), "discipline")
    seeds = tables.read("seed").join(labels, "seed_id", "inner")  # labels: unique by seed_id
    passage = seeds.withColumns({"item_id": F.col("seed_id"), "question": F.col("text")})
    return passage.withColumns(
        {"document": F.concat_ws("/", "source", "doc_id"), "choices": F.lit(None).cast(STRINGS)}
    ).select(*_LABELLED)


def _split(spark: SparkSession, config: Config, taught: DataFrame) -> tuple[DataFrame, DataFrame]:
    """(for training, held out)."""
    lot = F.pmod(F.xxhash64("document", F.lit(SALT)), F.lit(10_000)) / 10_000
    drawn = taught.withColumn("held", lot < config.distil.held_out)
    training, held = drawn.where(~F.col("held")), drawn.where("held")
    # What is longer is no question, and to look for options in a book takes hours.
    question = F.left("question", F.lit(config.clean.max_question_characters)).alias("question")
    apart = held.select(F.lit("held out").alias("benchmark"), "item_id", question, "choices")
    if config.scorecard.sources:
        tests = labelled_items(spark, config.scorecard.sources)
        apart = apart.unionByName(tests.select("benchmark", "item_id", question, "choices"))
    index = similarity.index(apart).persist()
    asked = training.select(F.col("item_id").alias("draft_id"), question, "choices")
    copies = similarity.similar(asked, index, config.clean.min_similarity).select(F.col("draft_id").alias("item_id"))
    return training.join(copies, "item_id", "left_anti"), held


def _cpu_seconds(spark: SparkSession) -> float | None:
    """CPU time that the JVM has used, where it does the work itself (a local master)."""
    jvm = spark.sparkContext._jvm
    if jvm is None or not str(spark.sparkContext.master).startswith("local"):
        return None
    times = psutil.Process(jvm.java.lang.ProcessHandle.current().pid()).cpu_times()
    return float(times.user + times.system)


def _agreement(said: DataFrame) -> dict[str, Any]:
    """Held-out items [discipline, said, sure] -> how far the pupil agrees with the teacher; shares of items, 0..1."""
    counts = said.groupBy("discipline", "said", "sure").count().collect()
    items = sum(r["count"] for r in counts)
    broad: dict[tuple[str, str], int] = {}
    for r in counts:
        pair = (r["discipline"][:2], r["said"][:2])
        broad[pair] = broad.get(pair, 0) + r["count"]
    sure = sum(r["count"] for r in counts if r["sure"])
    right = sum(r["count"] for r in counts if r["sure"] and r["discipline"][:2] == r["said"][:2])
    fields = sorted({teacher for teacher, _ in broad})
    of_field = {
        f: {"items": sum(n for (t, _), n in broad.items() if t == f), "kappa": kappa_of(f, broad)} for f in fields
    }
    return {
        "held_out": items,
        "detailed": sum(r["count"] for r in counts if r["discipline"] == r["said"]) / items,
        "broad": sum(n for (teacher, pupil), n in broad.items() if teacher == pupil) / items,
        "kappa": kappa(broad),
        "sure": sure / items,
        "broad_of_sure": right / sure if sure else None,
        "fields": of_field,
    }


def _measured(model: Any, held: DataFrame, least: float) -> dict[str, Any]:
    """`_agreement` on the held-out items, and how many the model labels in a CPU-second."""
    spark, texts = held.sparkSession, held.select("item_id", "text").persist()
    rows, began = texts.count(), _cpu_seconds(held.sparkSession)
    distil.labelled(texts, model).write.format("noop").mode("overwrite").save()
    ended = _cpu_seconds(spark)
    labels = distil.labelled(texts, model).withColumnRenamed("discipline", "said")
    said = held.join(labels, "item_id", "inner")  # either unique by item_id
    facts = _agreement(said.withColumn("sure", F.col("discipline_probability") >= least))
    rate = rows / max(ended - began, 0.01) if began is not None and ended is not None else None
    return facts | {"rows_per_cpu_second": rate}


def train(config: Config) -> dict[str, Any]:
    """Train, measure and save; returns what `show` prints. Raises ConfigError where there is nothing to learn from."""
    distilled.place_of(config)  # so that nothing is trained for which there is no place
    spark = spark_session("boostqa distil", config.spark.master, config.spark.conf)
    began = time.monotonic()
    training, held = (part.persist() for part in _split(spark, config, _taught(spark, config)))
    items, fields = training.agg(F.count("*"), F.countDistinct("discipline")).first() or (0, 0)
    if fields < 2 or held.isEmpty():
        raise ConfigError(
            f"distil: {items} items of {fields} disciplines are left to train on: name more in distil.sources; what is held "
            "out, or resembles an item of the scorecard, is no longer among them"
        )
    run_id = f"{new_run_id()}-distil"
    with pipeline_mlflow_run(config, run_id, code_revision(), conf_hash(config)):
        model = distil.annotator(distil.untrained(config.distil).fit(training.select("text", "discipline")))
        facts: dict[str, Any] = {"items": items, "disciplines": fields} | _measured(
            model, held, config.annotate.min_probability
        )
        facts |= {"model": distilled.save(config, model), "seconds": time.monotonic() - began}
        fields_of = {f"distil.kappa.{field}": seen["kappa"] for field, seen in facts["fields"].items()}
        numbers = {
            f"distil.{name}": value for name, value in facts.items() if isinstance(value, int | float)
        } | fields_of
        log_metrics({name: float(value) for name, value in numbers.items() if value is not None})
    return facts


def show(facts: dict[str, Any], console: Console) -> None:
    """Print what `train` found."""
    line = "{items} labelled items of {disciplines} disciplines; held out {held_out}: detailed {detailed:.3f}, broad {broad:.3f}"
    console.print(f"{line.format(**facts)}, kappa of broad {_three(facts['kappa'])}", highlight=False)
    console.print(
        f"sure of {facts['sure']:.1%}, of these broad right {_three(facts['broad_of_sure'])}", highlight=False
    )
    grid = Grid("broad field", "held out", "kappa")
    for field, seen in facts["fields"].items():
        grid.add_row(field, str(seen["items"]), _three(seen["kappa"]))
    console.print(grid)
    if rate := facts["rows_per_cpu_second"]:
        console.print(f"{rate:,.0f} rows a CPU-second", highlight=False)
    console.print(f"saved in {facts['model']} ({facts['seconds']:.0f} s)", highlight=False, soft_wrap=True)


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
