"""Job 3, probe: scores checkpoints on labelled held-out items, per cell."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import ModelSpec, model_of_role, model_spec
from boostqa.errors import ConfigError
from boostqa.pipeline import submit
from boostqa.schemas import ANNOTATION
from boostqa.sources import read_items
from boostqa.stages import annotate, probe, probe_labels
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable, ProbeMethod

READS = ("probe items",)
WRITES = ("probe", "annotation", "reject")
# method -> (requests of labelled items, the pick of each item from their completions)
METHODS = {
    ProbeMethod.LETTER: (probe.letter_requests, probe.letter_picks),
    ProbeMethod.CLOZE: (probe.cloze_requests, probe.cloze_picks),
}


def probe_items(stage: StageRun) -> DataFrame:
    """The items of all sources. Raises ConfigError for an id that comes twice."""
    sources = [read_items(stage.spark, s) for s in stage.config.probe.items]
    items = reduce(DataFrame.unionByName, sources).withColumn("item_id", F.concat_ws("/", "benchmark", "item_id"))
    if twice := items.persist().groupBy("item_id").count().where("count > 1").first():
        raise ConfigError(
            f"probe.items: {twice['count']} items have the id {twice['item_id']}; ids are unique in a source"
        )
    return items


def labelled(stage: StageRun, items: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Probe items with discipline and difficulty: given by the item, else by its subject's name, else by the
    annotator."""
    items = probe_labels.label_by_subject(items).persist()
    unlabelled = items.where(F.col("discipline").isNull() | F.col("difficulty").isNull())
    annotator = model_of_role(stage.config, "annotator")
    questions = unlabelled.withColumn("text", F.col("question"))
    requests = annotate.requests(questions, stage.name, annotator, stage.config.annotate)
    labels, rejects = annotate.parse(requests, complete(stage, requests, annotator), ItemTable.PROBE_ITEM, stage.name)
    return probe_labels.with_annotations(items, labels), rejects


def picks(stage: StageRun, items: DataFrame, checkpoint: ModelSpec) -> list[DataFrame]:
    """What a checkpoint picks, for each method: [item_id, pick, request_ids, method, checkpoint]; one call for all."""
    methods = {name: METHODS[name] for name in stage.config.probe.methods}
    requests = {name: build(items, checkpoint) for name, (build, _) in methods.items()}
    merged = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), requests.values())
    completions = complete(stage, merged, checkpoint)
    return [
        pick(requests[name], completions).withColumns({"method": F.lit(name), "checkpoint": F.lit(checkpoint.model.id)})
        for name, (_, pick) in methods.items()
    ]


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    items = probe_items(stage)
    choice_items, unusable = probe.usable(items)
    labels, unlabelled = labelled(stage, choice_items)
    labels = labels.persist()
    stage.write("annotation", labels.select(*ANNOTATION.schema.names), f"item_table = '{ItemTable.PROBE_ITEM}'")
    checkpoints = stage.config.checkpoints()
    parts = [part for model in checkpoints for part in picks(stage, labels, model_spec(stage.config, model))]
    scored = reduce(DataFrame.unionByName, parts).persist()
    stage.write("probe", probe.scores(labels, scored))
    rejected = stage.reject(unusable.unionByName(unlabelled).unionByName(probe.unscored(scored)))
    kept = stage.read_back("probe").agg(F.sum("items")).first()
    stage.check_row_balance(items.count(), int(kept[0] or 0), rejected, fan_out=labels.count() * (len(parts) - 1))


if __name__ == "__main__":
    submit("probe")
