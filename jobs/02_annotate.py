"""Job 2, annotate: seed -> annotation, reject. The annotator labels each seed with discipline and difficulty."""

from boostqa.generation import complete
from boostqa.line import submit
from boostqa.lineage import StageRun
from boostqa.stages import annotate


def main(stage: StageRun) -> None:
    """Read, call the stage, write, state the account."""
    seeds = stage.read("seed")
    speaker = stage.speaker("annotator")
    asked = annotate.requests(seeds.withColumnRenamed("seed_id", "item_id"), stage.name, speaker, stage.config.annotate)
    labels, rejects = annotate.parse(asked, complete(stage, asked, speaker), "seed", stage.name)
    kept = stage.write("annotation", labels, "item_table = 'seed'")
    stage.account(seeds.count(), kept, stage.reject(rejects))


if __name__ == "__main__":
    submit("annotate")
