"""Job 2, annotate: the annotator labels each seed with discipline and difficulty; a discipline that the source names is
taken, and of the sources that the conf says so the distilled one names it, where it is sure."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa import distilled
from boostqa.calls.generation import complete
from boostqa.calls.models import model_of_role
from boostqa.pipeline import submit
from boostqa.stages import annotate, distil
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import AnnotatedBy, ItemTable

READS = ("seed",)
WRITES = ("annotation", "reject")


def known_disciplines(stage: StageRun, items: DataFrame) -> DataFrame | None:
    """What the distilled annotator is sure of, one discipline a document: [item_id, discipline, discipline_probability,
    annotator]; `items` [item_id, document, source, text]. None where no source asks it."""
    conf = stage.config.annotate
    sources = [name for name, by in conf.by.items() if by == AnnotatedBy.DISTILLED]
    if not sources:
        return None
    said = distil.labelled(items.where(F.col("source").isin(sources)), distilled.load(stage.config))
    sure = annotate.one_a_document(items, said).where(F.col("discipline_probability") >= conf.min_probability)
    return stage.store(sure.withColumn("annotator", F.lit(AnnotatedBy.DISTILLED)))


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    seeds, annotator = stage.read("seed"), model_of_role(stage.config, "annotator")
    items, known = annotate.items_of(seeds, "seed_id"), annotate.given(seeds)
    sure = known_disciplines(
        stage, items.join(seeds.select(F.col("seed_id").alias("item_id"), "source"), "item_id", "inner")
    )
    if sure is not None:
        known = stage.store(known.unionByName(sure.join(known, "item_id", "left_anti")))
    requests = annotate.requests(items, stage.name, annotator, stage.config.annotate, known)
    completions = complete(stage, requests, annotator)
    parsed = stage.store(annotate.parse(requests, completions, stage.config.annotate, known))
    labels, rejects = annotate.labels_and_rejects(parsed, ItemTable.SEED, stage.name)
    kept = stage.write("annotation", labels, f"item_table = '{ItemTable.SEED}'")
    stage.check_row_balance(seeds.count(), kept, stage.reject(rejects))


if __name__ == "__main__":
    submit("annotate")
