"""Job 4, plan: annotation, probe -> budget, plan. Turns what the checkpoint lacks into tokens per cell and requests."""

from pyspark.sql import functions as F

from boostqa.line import submit
from boostqa.lineage import StageRun
from boostqa.stages import plan


def main(stage: StageRun) -> None:
    """Read, call the stage, write, state the account."""
    conf = stage.config.plan
    labels = (
        stage.read("annotation").where("item_table = 'seed'").select(F.col("item_id").alias("seed_id"), "discipline")
    )
    seeds = labels.join(stage.read("seed").select("seed_id", "lang"), "seed_id", "inner").persist()
    last = (stage.config.probe.checkpoints or [stage.config.model.generator.id])[-1]
    probe = stage.read("probe").where(F.col("checkpoint") == last)
    stage.write("budget", plan.budget(seeds, probe, conf))
    budget = stage.warehouse.read("budget")
    planned = stage.write("plan", plan.plan(budget, seeds, conf))
    requests = int(budget.agg(F.sum("requests")).first()[0] or 0)
    supply = seeds.count()
    stage.account(supply, planned, fan_out=requests - supply)


if __name__ == "__main__":
    submit("plan")
