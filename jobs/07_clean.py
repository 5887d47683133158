"""Job 7, clean: drops what is unfit, repeated or leaked."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import model_spec
from boostqa.pipeline import submit
from boostqa.sources import read_items
from boostqa.stages import clean, fluency
from boostqa.tracking.stage_run import StageRun

READS = ("refined", "seed", "benchmarks", "probe items")
WRITES = ("clean", "contamination", "reject")


def unfit_items(stage: StageRun, refined: DataFrame, seeds: DataFrame) -> DataFrame:
    """Rejects of items that break a rule on text; with model.fluency also of those that read unlike the seeds."""
    conf, model = stage.config.clean, stage.config.model.fluency
    unfit = clean.rejects_of_unfit(refined, seeds, conf).persist()
    if model is None:
        return unfit
    fit = refined.join(unfit.select(F.col("key").alias("draft_id")), "draft_id", "left_anti")
    spec = model_spec(stage.config, model)
    requests = fluency.requests(fit, seeds, spec, conf)
    return unfit.unionByName(fluency.parse(requests, complete(stage, requests, spec))).persist()


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    refined, seeds, conf = stage.read("refined"), stage.read("seed"), stage.config.clean
    # Probe items are held out as benchmarks are: they join the decontamination index.
    sources = [*conf.benchmarks, *stage.config.probe.items]
    benchmarks = reduce(DataFrame.unionByName, (read_items(stage.spark, s) for s in sources)).persist()
    unfit = unfit_items(stage, refined, seeds)
    rejected = clean.rejects_with_duplicates(refined, unfit, seeds, conf).persist()
    stage.write("contamination", clean.contaminate(refined, rejected, seeds, benchmarks, conf))
    rows, contaminated = clean.clean(refined, rejected, stage.read_back("contamination"), seeds)
    kept = stage.write("clean", rows)
    stage.check_row_balance(refined.count(), kept, stage.reject(rejected.unionByName(contaminated)))


if __name__ == "__main__":
    submit("clean")
