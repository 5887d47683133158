"""Job 3, probe: probe items -> probe, annotation, reject. Scores checkpoints on labelled held-out items, per cell."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.config import Model
from boostqa.errors import ConfigError
from boostqa.generation import complete
from boostqa.line import submit
from boostqa.lineage import StageRun
from boostqa.schemas import ANNOTATION
from boostqa.sources import read_items
from boostqa.stages import annotate, probe, subjects


def labelled(stage: StageRun, items: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Probe items with discipline and difficulty: given by the item, else by its subject's name, else by the annotator."""
    items = subjects.fill(items).persist()
    unlabelled = items.where(F.col("discipline").isNull() | F.col("difficulty").isNull())
    speaker = stage.speaker("annotator")
    asked = annotate.requests(
        unlabelled.withColumn("text", F.col("question")), stage.name, speaker, stage.config.annotate
    )
    labels, rejects = annotate.parse(asked, complete(stage, asked, speaker), "probe_item", stage.name)
    return subjects.merge(items, labels), rejects


def main(stage: StageRun) -> None:
    """Read, call the stage, write, state the account."""
    conf = stage.config.probe
    sources = [read_items(stage.spark, s) for s in conf.items]
    items = (
        reduce(DataFrame.unionByName, sources).withColumn("item_id", F.concat_ws("/", "benchmark", "item_id")).persist()
    )
    rows_in = items.count()
    if twice := items.groupBy("item_id").count().where("count > 1").first():
        raise ConfigError(
            f"probe.items: {twice['count']} items have the id {twice['item_id']}; ids are unique in a source"
        )
    choice_items, unusable = probe.usable(items)
    labels, unlabelled = labelled(stage, choice_items)
    labels = labels.persist()
    stage.write("annotation", labels.select(*ANNOTATION.schema.names), "item_table = 'probe_item'")
    picks = []
    for model in [Model(id=c) for c in conf.checkpoints] or [stage.config.model.generator]:
        checkpoint, speaker = model.id, stage.speaker_of(model)
        asked = {"letter": probe.letter_requests, "cloze": probe.cloze_requests}
        pick = {"letter": probe.letter_picks, "cloze": probe.cloze_picks}
        requests = {method: asked[method](labels, speaker) for method in conf.methods}
        merged = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), requests.values())
        completions = complete(stage, merged, speaker)
        for method in conf.methods:
            picked = pick[method](requests[method], completions)
            picks.append(picked.withColumns({"method": F.lit(method), "checkpoint": F.lit(checkpoint)}))
    scored = reduce(DataFrame.unionByName, picks).persist()
    stage.write("probe", probe.scores(labels, scored))
    rejected = stage.reject(unusable.unionByName(unlabelled).unionByName(probe.unscored(scored)))
    kept = stage.warehouse.read("probe").agg(F.sum("items")).first()
    usable = labels.count()
    stage.account(rows_in, int(kept[0] or 0), rejected, fan_out=usable * (len(picks) - 1))


if __name__ == "__main__":
    submit("probe")
