"""Job 7, clean: drops what is unfit, repeated or leaked."""

from functools import reduce

from pyspark.sql import DataFrame

from boostqa.pipeline import submit
from boostqa.sources import read_items
from boostqa.stages import clean
from boostqa.tracking.stage_run import StageRun

READS = ("refined", "seed", "benchmarks", "probe items")
WRITES = ("clean", "contamination", "reject")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    refined, seeds, conf = stage.read("refined"), stage.read("seed"), stage.config.clean
    # Probe items are held out as benchmarks are: they join the decontamination index.
    sources = [*conf.benchmarks, *stage.config.probe.items]
    benchmarks = reduce(DataFrame.unionByName, (read_items(stage.spark, s) for s in sources)).persist()
    unfit = clean.rejects_of_unfit(refined, seeds, conf).persist()
    rejected = clean.rejects_with_duplicates(refined, unfit, seeds, conf).persist()
    stage.write("contamination", clean.contaminate(refined, rejected, seeds, benchmarks, conf))
    rows, contaminated = clean.clean(refined, rejected, stage.read_back("contamination"), seeds)
    kept = stage.write("clean", rows)
    stage.check_row_balance(refined.count(), kept, stage.reject(rejected.unionByName(contaminated)))


if __name__ == "__main__":
    submit("clean")
