"""Job 1, seed: source files -> seed, reject. Reads, normalises and filters the corpora; no probe item may become a seed."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.line import submit
from boostqa.lineage import StageRun
from boostqa.sources import read_items, read_records
from boostqa.stages import seed


def main(stage: StageRun) -> None:
    conf = stage.config.seed
    records = reduce(DataFrame.unionByName, (read_records(stage.spark, s) for s in conf.sources)).persist()
    held_out = reduce(DataFrame.unionByName, (read_items(stage.spark, s) for s in stage.config.probe.items))
    seeds, rejects = seed.parted(seed.judged(records, held_out.select("question"), conf, stage.tokenizer()).persist())
    kept = stage.write("seed", seeds)
    rejected = stage.reject(rejects)
    # A document split into n chunks fans out by n - 1: every chunk but the first, kept or rejected ("file:line#chunk").
    split = stage.warehouse.read("seed").where("chunk > 0").count()
    dropped = stage.warehouse.read("reject").where(F.expr("stage = 'seed' and key rlike '#[1-9][0-9]*$'")).count()
    stage.account(records.count(), kept, rejected, fan_out=split + dropped)


if __name__ == "__main__":
    submit("seed")
