"""Job 1, seed: reads, normalises, splits and filters the corpora.

No probe item may become a seed, and a seed that shares text with a benchmark would only make items that clean rejects.
What later stages compare with benchmarks and probe items, too, is made here once (table held_out).
"""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.models import target_tokenizer
from boostqa.pipeline import submit
from boostqa.sources import check_ids, read_held_out, read_records
from boostqa.stages import decontaminate, seed
from boostqa.tracking.stage_run import StageRun

READS = ("source files", "probe items", "benchmarks")
WRITES = ("held_out", "seed", "reject")


def held_out(stage: StageRun) -> DataFrame:
    """Write and read back the items of benchmarks and probe. Raises ConfigError for an id that comes twice."""
    items = stage.store(read_held_out(stage.spark, stage.config))
    check_ids(items, "clean.benchmarks or probe.items")
    stage.write("held_out", decontaminate.held_out(items, stage.config.clean))
    return stage.read_back("held_out")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    conf = stage.config
    records = stage.store(reduce(DataFrame.unionByName, (read_records(stage.spark, s) for s in conf.seed.sources)))
    held = held_out(stage)
    probe_items = held.where(F.col("benchmark").isin(*(s.name for s in conf.probe.items)))  # names are unique
    judged = stage.store(seed.judged(records, probe_items.select("question"), conf.seed, target_tokenizer(conf)))
    leaks = stage.store(decontaminate.leaked_seeds(judged.where("broken_rule is null"), held, conf.clean))
    seeds, rejects = seed.split_kept_and_rejected(seed.without_leaks(judged, leaks))
    kept = stage.write("seed", seeds)
    rejected = stage.reject(rejects)
    # A document split into n chunks fans out by n - 1: every chunk but the first, kept or rejected ("file:line#chunk").
    split = stage.read_back("seed").where("chunk > 0").count()
    dropped = stage.read_back("reject").where(F.expr("stage = 'seed' and key rlike '#[1-9][0-9]*$'")).count()
    stage.check_row_balance(records.count(), kept, rejected, fan_out=split + dropped)


if __name__ == "__main__":
    submit("seed")
