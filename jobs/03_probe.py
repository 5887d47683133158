"""Job 3, probe: scores checkpoints on labelled held-out items, per cell."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import ModelSpec, model_of_role, model_spec
from boostqa.pipeline import submit
from boostqa.report import probe_plots
from boostqa.schemas import ANNOTATION
from boostqa.shrinkage import estimates
from boostqa.sources import check_ids, read_items
from boostqa.stages import annotate, probe, probe_labels
from boostqa.tracking.mlflow_runs import log_texts
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable, ProbeMethod

READS = ("probe items",)
WRITES = ("probe", "annotation", "reject")
# method -> (requests of the labelled items that it scores, what their completions say of each item)
METHODS = {
    ProbeMethod.LETTER: (probe.letter_requests, probe.letter_picks),
    ProbeMethod.CLOZE: (probe.cloze_requests, probe.cloze_picks),
    ProbeMethod.REFERENCE: (probe.reference_requests, probe.reference_bits),
}


def probe_items(stage: StageRun) -> DataFrame:
    """The items of all sources, labelled as far as their subjects tell. Raises ConfigError for an id that comes twice."""
    sources = [read_items(stage.spark, s) for s in stage.config.probe.items]
    items = reduce(DataFrame.unionByName, sources).withColumn("item_id", F.concat_ws("/", "benchmark", "item_id"))
    items = stage.store(probe_labels.label_by_subject(items))
    check_ids(items, "probe.items")
    return items


def labelled(stage: StageRun, items: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Probe items with discipline and difficulty: as probe_items gives them, else by the annotator, who is asked for what
    is missing only."""
    unlabelled = items.where(F.col("discipline").isNull() | F.col("difficulty").isNull())
    annotator = model_of_role(stage.config, "annotator")
    questions = annotate.items_of(unlabelled.withColumn("text", F.col("question")), "item_id")
    requests = annotate.requests(questions, stage.name, annotator, stage.config.annotate)
    requests = probe_labels.lacking(requests, unlabelled)
    said = stage.store(annotate.by_item(requests, complete(stage, requests, annotator), stage.config.annotate))
    return probe_labels.labelled(items, said)


def found(stage: StageRun, items: DataFrame, checkpoint: ModelSpec, tokens_seen: int | None) -> DataFrame:
    """What a checkpoint makes of the items, by each method; one call for all. Columns: probe.scores."""
    methods = {name: METHODS[name] for name in stage.config.probe.methods}
    requests = {name: build(probe.scored_by(name, items), checkpoint) for name, (build, _) in methods.items()}
    merged = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), requests.values())
    completions = complete(stage, merged, checkpoint)
    parts = [read(requests[name], completions).withColumn("method", F.lit(name)) for name, (_, read) in methods.items()]
    return reduce(DataFrame.unionByName, parts).withColumns(
        {"checkpoint": F.lit(checkpoint.model.id), "tokens_seen": F.lit(tokens_seen).cast("long")}
    )


def with_estimates(stage: StageRun, cells: DataFrame) -> DataFrame:
    """Cells with their accuracy drawn towards the broad field's, each checkpoint and method by itself."""
    counts: dict[tuple[str, str], dict[tuple[str, str], tuple[float, int]]] = {}
    for row in cells.where("correct is not null").select(*probe.KEY, "correct", "items").collect():
        checkpoint, method, *cell, correct, items = row
        counts.setdefault((checkpoint, method), {})[cell[0], cell[1]] = (correct, items)
    rows = [
        (*series, *cell, estimate.share, estimate.weight)
        for series, measured in counts.items()
        for cell, estimate in estimates(measured, measured).items()
    ]
    kind = ", ".join(f"{name} string" for name in probe.KEY) + ", shrunk double, shrink_weight double"
    return probe.with_shrunk(cells, stage.spark.createDataFrame(rows, kind))


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    items, conf = probe_items(stage), stage.config.probe
    usable, unusable = probe.usable(items, conf.methods)
    labels, unlabelled = labelled(stage, usable)
    labels = stage.store(labels)
    stage.write("annotation", labels.select(*ANNOTATION.schema.names), f"item_table = '{ItemTable.PROBE_ITEM}'")
    tokens_seen = {c.id: c.tokens_seen for c in conf.checkpoints}
    checkpoints = stage.config.checkpoints()
    parts = [found(stage, labels, model_spec(stage.config, m), tokens_seen.get(m.id)) for m in checkpoints]
    scored = stage.store(reduce(DataFrame.unionByName, parts))
    stage.write("probe", with_estimates(stage, stage.store(probe.scores(labels, scored))))
    rejected = stage.reject(unusable.unionByName(unlabelled).unionByName(probe.unscored(scored)))
    rows = stage.read_back("probe").drop("request_ids").collect()
    per_checkpoint = sum(probe.scored_by(method, labels).count() for method in conf.methods)
    fan_out = per_checkpoint * len(checkpoints) - labels.count()
    stage.check_row_balance(items.count(), sum(row["items"] for row in rows), rejected, fan_out)
    log_texts(probe_plots.figures([row.asDict() for row in rows], [m.id for m in checkpoints]))


if __name__ == "__main__":
    submit("probe")
