"""Job 7, clean: refined, seed, benchmarks -> clean, contamination, reject. Drops what is unfit, repeated or leaked."""

from functools import reduce

from pyspark.sql import DataFrame

from boostqa.line import submit
from boostqa.lineage import StageRun
from boostqa.sources import read_items
from boostqa.stages import clean


def main(stage: StageRun) -> None:
    """Read, call the stage, write, state the account."""
    refined, seeds, conf = stage.read("refined"), stage.read("seed"), stage.config.clean
    # Probe items are held out as benchmarks are: they join the decontamination index.
    sources = [*conf.benchmarks, *stage.config.probe.items]
    benchmarks = reduce(DataFrame.unionByName, (read_items(stage.spark, s) for s in sources)).persist()
    broken = clean.rules(refined, conf)[1].persist()
    screened = clean.screen(refined, broken, seeds, conf).persist()
    stage.write("contamination", clean.contaminate(refined, screened, seeds, benchmarks, conf))
    contamination = stage.warehouse.read("contamination", stage.outputs["contamination"].version)
    rows, contaminated = clean.clean(refined, screened, contamination, seeds)
    kept = stage.write("clean", rows)
    stage.account(refined.count(), kept, stage.reject(screened.unionByName(contaminated)))


if __name__ == "__main__":
    submit("clean")
