"""Job 4, plan: turns what the checkpoint lacks into tokens per cell and requests."""

from pyspark.sql import functions as F

from boostqa.pipeline import submit
from boostqa.stages import plan
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable

READS = ("annotation", "seed", "probe")
WRITES = ("budget", "plan")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    conf = stage.config.plan
    labels = stage.read("annotation").where(F.col("item_table") == ItemTable.SEED)
    labels = labels.select(F.col("item_id").alias("seed_id"), "discipline", "difficulty")
    texts = stage.read("seed").select("seed_id", "lang", "tokens", "text")
    seeds = labels.join(texts, "seed_id", "inner")  # both unique by seed_id
    borne = plan.bearing(seeds, conf).persist()
    probe = stage.read("probe").where(F.col("checkpoint") == stage.config.checkpoints()[-1].id)
    probe = probe.where("accuracy is not null")  # bits per byte are no accuracy
    stage.write("budget", plan.budget(seeds, borne, probe, conf))
    budget = stage.read_back("budget")
    planned = stage.write("plan", plan.plan(budget, borne, conf))
    requests = int(budget.agg(F.sum("requests")).first()[0] or 0)
    supply = seeds.count()
    stage.check_row_balance(supply, planned, fan_out=requests - supply)


if __name__ == "__main__":
    submit("plan")
