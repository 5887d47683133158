"""Job 2, annotate: the annotator labels each seed with discipline and difficulty."""

from boostqa.calls.generation import complete
from boostqa.calls.models import model_of_role
from boostqa.pipeline import submit
from boostqa.stages import annotate
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable

READS = ("seed",)
WRITES = ("annotation", "reject")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    seeds, annotator = stage.read("seed"), model_of_role(stage.config, "annotator")
    items = seeds.withColumnRenamed("seed_id", "item_id")
    requests = annotate.requests(items, stage.name, annotator, stage.config.annotate)
    labels, rejects = annotate.parse(requests, complete(stage, requests, annotator), ItemTable.SEED, stage.name)
    kept = stage.write("annotation", labels, f"item_table = '{ItemTable.SEED}'")
    stage.check_row_balance(seeds.count(), kept, stage.reject(rejects))


if __name__ == "__main__":
    submit("annotate")
