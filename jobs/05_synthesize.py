"""Job 5, synthesize: plan, seed -> draft, annotation, reject. Writes questions, then measures their difficulty."""

from boostqa.generation import complete
from boostqa.line import submit
from boostqa.lineage import StageRun
from boostqa.stages import annotate, synthesize


def main(stage: StageRun) -> None:
    """Read, call the stage, write, state the account."""
    plan, seeds, conf = stage.read("plan"), stage.read("seed"), stage.config
    generator = stage.speaker("generator")
    asked = synthesize.requests(plan, seeds, generator, conf.synthesize)
    parsed, unusable = synthesize.parse(asked, complete(stage, asked, generator))
    parsed = parsed.persist()
    annotator = stage.speaker("annotator")
    questions = annotate.requests(synthesize.as_items(parsed), stage.name, annotator, conf.annotate)
    labels, unlabelled = annotate.parse(questions, complete(stage, questions, annotator), "draft", stage.name)
    stage.write("annotation", labels, "item_table = 'draft'")
    drafts, unfit = synthesize.measured(parsed, labels, unlabelled, conf.synthesize)
    kept = stage.write("draft", drafts)
    rejected = stage.reject(unusable.unionByName(unfit))
    stage.account(plan.count(), kept, rejected)


if __name__ == "__main__":
    submit("synthesize")
